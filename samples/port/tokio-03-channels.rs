use tokio::sync::{mpsc, oneshot};

#[tokio::main]
async fn main() {
    let (tx, mut rx) = mpsc::channel::<(i32, oneshot::Sender<i32>)>(8);
    tokio::spawn(async move {
        while let Some((n, reply)) = rx.recv().await {
            let _ = reply.send(n * n);
        }
    });
    let (reply, answer) = oneshot::channel();
    tx.send((7, reply)).await.unwrap();
    println!("{}", answer.await.unwrap());
}
