use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};

#[tokio::main]
async fn main() {
    let permits = Arc::new(Semaphore::new(2));
    let done = Arc::new(Notify::new());
    let (p, d) = (permits.clone(), done.clone());
    tokio::spawn(async move {
        let _permit = p.acquire().await.unwrap();
        println!("with a permit");
        d.notify_one();
    });
    done.notified().await;
    println!("told");
}
