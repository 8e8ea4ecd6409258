#[tokio::main]
async fn main() {
    let task = tokio::spawn(async move { 6 * 7 });
    println!("{}", task.await.unwrap());
}
