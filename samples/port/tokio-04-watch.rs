use tokio::sync::{broadcast, watch};

#[tokio::main]
async fn main() {
    let (news, mut a) = broadcast::channel(2);
    let mut b = news.subscribe();
    for n in 1..=3 {
        news.send(n).unwrap();
    }
    println!("{}", a.recv().await.is_err()); // Lagged(1)
    println!("{}", a.recv().await.unwrap());
    println!("{}", b.recv().await.is_err());

    let (level, mut seen) = watch::channel(0);
    level.send(1).unwrap();
    level.send(2).unwrap();
    seen.changed().await.unwrap();
    println!("level {}", *seen.borrow());
}
