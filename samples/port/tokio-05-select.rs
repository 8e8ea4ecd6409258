use std::time::Duration;
use tokio::{sync::mpsc, time};

#[tokio::main]
async fn main() {
    let (_tx, mut rx) = mpsc::channel::<i32>(1);
    tokio::select! {
        n = rx.recv() => println!("received {n:?}"),
        _ = time::sleep(Duration::from_millis(5)) => println!("nothing"),
    }
    let hour = time::sleep(Duration::from_secs(3600));
    if time::timeout(Duration::from_millis(5), hour).await.is_err() {
        println!("too late");
    }
}
