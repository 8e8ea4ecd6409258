use tokio::task::LocalSet;

tokio::task_local! {
    static USER: &'static str;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    USER.scope("ada", async {
        println!("{}", USER.get());
    })
    .await;

    let set = LocalSet::new();
    set.spawn_local(async { println!("on one thread") });
    set.await;
}
