use std::time::Duration;
use tokio::signal::unix::{signal, SignalKind};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let tracker = TaskTracker::new();
    tracker.spawn(sleep(Duration::from_millis(1)));
    tracker.spawn(sleep(Duration::from_secs(3600)));

    std::process::Command::new("kill")
        .args(["-TERM", &std::process::id().to_string()])
        .status()?;
    term.recv().await;
    println!("told to end");
    tracker.close();
    let limit = Duration::from_millis(100);
    if timeout(limit, tracker.wait()).await.is_err() {
        println!("enough of waiting");
    }
    Ok(())
}
