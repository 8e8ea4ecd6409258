use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let token = CancellationToken::new();
    let child = token.child_token();
    let task = tokio::spawn(async move {
        tokio::select! {
            _ = child.cancelled() => println!("cancelled"),
            _ = sleep(Duration::from_secs(3600)) => println!("done"),
        }
    });
    token.cancel();
    task.await.unwrap();
}
