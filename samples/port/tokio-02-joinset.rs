use std::time::Duration;
use tokio::{task::JoinSet, time::sleep};

#[tokio::main]
async fn main() {
    let mut set = JoinSet::new();
    for n in [2, 60_000, 1] {
        set.spawn(async move {
            sleep(Duration::from_millis(50 * n)).await;
            n
        });
    }
    for _ in 0..2 {
        if let Some(Ok(n)) = set.join_next().await {
            println!("{n}");
        }
    }
    set.shutdown().await;
}
