use std::{thread, time::Duration};
use tokio::task::spawn_blocking;

#[tokio::main]
async fn main() {
    let sum = spawn_blocking(|| {
        thread::sleep(Duration::from_millis(5));
        (1..=100).sum::<i32>()
    });
    println!("{}", sum.await.unwrap());
}
