// SPDX-License-Identifier: MIT

//! Tokio: ../peer.h says what a peer's program is.
//!
//! -w 1 runs on the current_thread scheduler, more on multi_thread; with
//! TOKIO_MULTI=1 also one worker does.  Work runs in spawned tasks, never in
//! block_on itself, which Tokio wakes and runs another, slower way.
//!
//! There is no rendezvous channel in tokio::sync: mpsc with room for one is the
//! nearest, and what Tokio's users take.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, Mutex, Notify, Semaphore};
use tokio::task::{spawn, spawn_blocking, yield_now, JoinSet};

#[derive(Clone, Copy)]
struct Size {
    workers: usize,
    n: i64,
    k: i64,
}

fn result(metric: &str, value: f64, unit: &str) {
    println!("{metric}\t{value:.6}\t{unit}");
}

fn each(metric: &str, start: Instant, n: i64) {
    result(metric, start.elapsed().as_nanos() as f64 / n as f64, "ns");
}

fn check(holds: bool, what: &str) {
    if !holds {
        eprintln!("not so: {what}");
        std::process::exit(1);
    }
}

fn memory(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

/// Seconds of processor time: /proc/self/schedstat is that of one thread.
fn cpu() -> f64 {
    let mut sum = 0.0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path().join("schedstat");
        if let Ok(text) = std::fs::read_to_string(path) {
            sum += text.split_whitespace().next().unwrap()
                .parse::<f64>().unwrap() / 1e9;
        }
    }
    sum
}

fn sum_of_messages(n: i64) -> i64 {
    (0..n).map(|i| i & 0xff).sum()
}

fn runtime(workers: usize) -> Runtime {
    let multi = std::env::var_os("TOKIO_MULTI").is_some();
    if workers == 1 && !multi {
        Builder::new_current_thread().enable_all().build().unwrap()
    } else {
        Builder::new_multi_thread().worker_threads(workers).enable_all()
            .build().unwrap()
    }
}

async fn yields(s: Size) {
    let start = Instant::now();
    let yielder = || async move {
        for _ in 0..s.n {
            yield_now().await;
        }
    };
    let (a, b) = (spawn(yielder()), spawn(yielder()));
    a.await.unwrap();
    b.await.unwrap();
    each("yield", start, 2 * s.n);
}

async fn spawns(s: Size) {
    let start = Instant::now();
    let mut ran = 0;
    for _ in 0..s.n {
        ran += spawn(async { 1 }).await.unwrap();
    }
    each("spawn_join", start, s.n);
    check(ran == s.n, "each ran once");
    let start = Instant::now();
    let mut handles = Vec::with_capacity(1000);
    for _ in 0..s.n / 1000 {
        for _ in 0..1000 {
            handles.push(spawn(async {}));
        }
        for handle in handles.drain(..) {
            handle.await.unwrap();
        }
    }
    each("spawn_1000", start, s.n / 1000 * 1000);
}

fn dive(depth: i64, n: i64) -> Pin<Box<dyn Future<Output = i64> + Send>> {
    Box::pin(async move {
        if depth > 1 {
            return dive(depth - 1, n).await;
        }
        for _ in 0..n {
            yield_now().await;
        }
        n
    })
}

async fn suspend(s: Size) {
    let mut depth = 1;
    for metric in ["suspend_1", "suspend_10", "suspend_100", "suspend_1000"] {
        let start = Instant::now();
        let (a, b) = (spawn(dive(depth, s.n)), spawn(dive(depth, s.n)));
        let sum = a.await.unwrap() + b.await.unwrap();
        check(sum == 2 * s.n, "all suspensions");
        each(metric, start, 2 * s.n);
        depth *= 10;
    }
}

async fn pingpong(s: Size) {
    let (there, mut there_out) = mpsc::channel(1);
    let (back, mut back_out) = mpsc::channel(1);
    spawn(async move {
        while let Some(v) = there_out.recv().await {
            back.send(v + 1).await.unwrap();
        }
    });
    let mut v = 0i64;
    let start = Instant::now();
    for _ in 0..s.n {
        there.send(v).await.unwrap();
        v = back_out.recv().await.unwrap();
    }
    each("pingpong", start, 2 * s.n);
    check(v == s.n, "every ball came back");
}

/// mpsc has one receiver: with more, each has a channel of its own and the
/// senders take turns, which is how a Tokio program shares work out.
async fn buffered(s: Size) {
    let start = Instant::now();
    let (mut senders, mut receivers) = (Vec::new(), JoinSet::new());
    for _ in 0..s.k {
        let (tx, mut rx) = mpsc::channel::<i32>(128);
        senders.push(tx);
        receivers.spawn(async move {
            let mut sum = 0i64;
            while let Some(v) = rx.recv().await {
                sum += v as i64;
            }
            sum
        });
    }
    for _ in 0..s.k {
        let senders = senders.clone();
        spawn(async move {
            for i in 0..s.n / s.k {
                let to = &senders[(i % s.k) as usize];
                to.send((i & 0xff) as i32).await.unwrap();
            }
        });
    }
    drop(senders);
    let mut sum = 0;
    while let Some(one) = receivers.join_next().await {
        sum += one.unwrap();
    }
    each(&format!("buffered_{}", s.k), start, s.n);
    check(sum == s.k * sum_of_messages(s.n / s.k), "the sum");
}

async fn selecting(s: Size) {
    let mut c = Vec::new();
    for _ in 0..4 {
        let (tx, rx) = mpsc::channel::<i32>(1);
        c.push(rx);
        spawn(async move {
            for i in 0..s.n / 4 {
                tx.send((i & 0xff) as i32).await.unwrap();
            }
        });
    }
    let (mut d, mut b, mut a, mut e) = (c.pop().unwrap(), c.pop().unwrap(),
        c.pop().unwrap(), c.pop().unwrap());
    let mut sum = 0i64;
    let start = Instant::now();
    for _ in 0..s.n / 4 * 4 {
        sum += tokio::select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            Some(v) = d.recv() => v,
            Some(v) = e.recv() => v,
        } as i64;
    }
    each("select_4", start, s.n / 4 * 4);
    check(sum == 4 * sum_of_messages(s.n / 4), "the sum of the messages");
}

async fn mutex(s: Size) {
    let m = Arc::new(Mutex::new(0i64));
    let start = Instant::now();
    for _ in 0..s.n {
        *m.lock().await += 1;
    }
    each("mutex_free", start, s.n);
    let start = Instant::now();
    let mut set = JoinSet::new();
    for _ in 0..s.k {
        let m = m.clone();
        set.spawn(async move {
            for _ in 0..s.n / s.k {
                let mut count = m.lock().await;
                *count += 1;
                yield_now().await;
            }
        });
    }
    while set.join_next().await.is_some() {}
    each("mutex_busy", start, s.n);
    check(*m.lock().await == s.n + s.n / s.k * s.k, "every lock counts");
}

async fn sieve(s: Size) {
    let start = Instant::now();
    let (tx, mut rx) = mpsc::channel::<i32>(1);
    spawn(async move {
        for i in 2.. {
            if tx.send(i).await.is_err() {
                break;
            }
        }
    });
    let mut prime = 0;
    for _ in 0..s.n {
        prime = rx.recv().await.unwrap();
        let (out, next) = mpsc::channel(1);
        let mut input = std::mem::replace(&mut rx, next);
        spawn(async move {
            while let Some(v) = input.recv().await {
                if v % prime != 0 && out.send(v).await.is_err() {
                    break;
                }
            }
        });
    }
    result("sieve", start.elapsed().as_secs_f64(), "s");
    check(s.n != 5000 || prime == 48611, "the 5000th is 48611");
    std::process::exit(0);
}

fn skynet_node(out: mpsc::Sender<i64>, number: i64, size: i64)
    -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let (tx, mut rx) = mpsc::channel(1);
        for i in 0..10 {
            let (tx, at) = (tx.clone(), number + i * (size / 10));
            if size == 10 {
                spawn(async move { tx.send(at).await.unwrap() });
            } else {
                spawn(skynet_node(tx, at, size / 10));
            }
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += rx.recv().await.unwrap();
        }
        out.send(sum).await.unwrap();
    })
}

async fn skynet(s: Size) {
    let start = Instant::now();
    let (tx, mut rx) = mpsc::channel(1);
    spawn(skynet_node(tx, 0, s.n));
    let sum = rx.recv().await.unwrap();
    result("skynet", start.elapsed().as_secs_f64(), "s");
    result("skynet_peak", memory("VmHWM:") / 1e6, "MB");
    check(sum == s.n * (s.n - 1) / 2, "the sum of the leaves");
}

async fn parked(s: Size) {
    let (rss, tables) = (memory("VmRSS:"), memory("VmPTE:"));
    let never: &'static Notify = Box::leak(Box::new(Notify::new()));
    let started: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(0)));
    let start = Instant::now();
    for _ in 0..s.n {
        spawn(async {
            started.fetch_add(1, Relaxed);
            never.notified().await;
        });
    }
    while started.load(Relaxed) < s.n {
        yield_now().await;
    }
    each("parked_create", start, s.n);
    result("parked_rss", (memory("VmRSS:") - rss) / s.n as f64, "B");
    result("parked_tables", (memory("VmPTE:") - tables) / s.n as f64, "B");
    std::process::exit(0);
}

async fn sleepers(s: Size) {
    let (start, used) = (Instant::now(), cpu());
    let mut set = Vec::new();
    for i in 0..s.n {
        set.push(spawn(async move {
            let mut state = (i as u32).wrapping_mul(2654435761) + 1;
            for _ in 0..s.k {
                state = state.wrapping_mul(1664525)
                    .wrapping_add(1013904223);
                let nap = 1 + (state >> 8) % 1000;
                tokio::time::sleep(Duration::from_millis(nap as u64)).await;
            }
        }));
    }
    for one in set {
        one.await.unwrap();
    }
    result("sleepers", cpu() - used, "s");
    result("sleepers_wall", start.elapsed().as_secs_f64(), "s");
}

async fn wake(s: Size) {
    let post = Arc::new(Semaphore::new(0));
    let posted = Arc::new(AtomicU64::new(0));
    let zero = Instant::now();
    let (p, at) = (post.clone(), posted.clone());
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    let n = s.n;
    let thread = std::thread::spawn(move || {
        for _ in 0..n {
            std::thread::sleep(Duration::from_micros(500));
            at.store(zero.elapsed().as_nanos() as u64, Relaxed);
            p.add_permits(1);
            rx.recv().unwrap();
        }
    });
    let mut late = Vec::new();
    for _ in 0..s.n {
        post.acquire().await.unwrap().forget();
        late.push(zero.elapsed().as_nanos() as f64 / 1e3 -
            posted.load(Relaxed) as f64 / 1e3);
        tx.send(()).unwrap();
    }
    thread.join().unwrap();
    late.sort_by(|a, b| a.total_cmp(b));
    result("wake", late[late.len() / 2], "us");
    result("wake_p99", late[(late.len() - 1) * 99 / 100], "us");
}

async fn blocking(s: Size) {
    let start = Instant::now();
    let mut ran = 0;
    for _ in 0..s.n {
        ran += spawn_blocking(|| 1).await.unwrap();
    }
    let n = s.n as f64;
    result("blocking", start.elapsed().as_nanos() as f64 / 1e3 / n, "us");
    check(ran == s.n, "each job ran once");
    let start = Instant::now();
    let mut set = JoinSet::new();
    for _ in 0..s.k {
        set.spawn(async move {
            for _ in 0..s.n / s.k {
                spawn_blocking(|| 1).await.unwrap();
            }
        });
    }
    while set.join_next().await.is_some() {}
    result("blocking_many", start.elapsed().as_nanos() as f64 / 1e3 / n, "us");
}

fn compute(s: Size, workers: usize) -> f64 {
    let rt = Builder::new_multi_thread().worker_threads(workers).build()
        .unwrap();
    let start = Instant::now();
    rt.block_on(async move {
        spawn(async move {
            let mut set = Vec::new();
            for i in 0..s.n {
                set.push(spawn(async move {
                    let mut x = i as u64;
                    for _ in 0..s.k {
                        x = x.wrapping_mul(6364136223846793005)
                            .wrapping_add(1442695040888963407);
                    }
                    std::hint::black_box(x);
                }));
            }
            for one in set {
                one.await.unwrap();
            }
        }).await.unwrap();
    });
    start.elapsed().as_secs_f64()
}

async fn echo(_: Size) {
    let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("port {}", l.local_addr().unwrap().port());
    loop {
        let (mut c, _) = l.accept().await.unwrap();
        c.set_nodelay(true).unwrap();
        spawn(async move {
            let mut buffer = [0u8; 4096];
            while let Ok(n) = c.read(&mut buffer).await {
                if n == 0 || c.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        });
    }
}

fn run<F>(s: Size, question: fn(Size) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let rt = runtime(s.workers);
    rt.block_on(async move { spawn(question(s)).await.unwrap() });
    std::process::exit(0);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut s = Size { workers: 1, n: 100000, k: 1 };
    if args.len() < 2 {
        println!("yield\nspawn\nsuspend\npingpong\nbuffered\nselect\nmutex");
        println!("sieve\nskynet\nparked\nsleepers\nwake\nblocking\nsteal");
        println!("echo");
        return;
    }
    for pair in args[2..].chunks(2) {
        let value: i64 = pair[1].parse().unwrap();
        match pair[0].as_str() {
            "-w" => s.workers = value as usize,
            "-n" => s.n = value,
            _ => s.k = value,
        }
    }
    match args[1].as_str() {
        "yield" => run(s, yields),
        "spawn" => run(s, spawns),
        "suspend" => run(s, suspend),
        "pingpong" => run(s, pingpong),
        "buffered" => run(s, buffered),
        "select" => run(s, selecting),
        "mutex" => run(s, mutex),
        "sieve" => run(s, sieve),
        "skynet" => run(s, skynet),
        "parked" => run(s, parked),
        "sleepers" => run(s, sleepers),
        "wake" => run(s, wake),
        "blocking" => run(s, blocking),
        "steal" => {
            let one = compute(s, 1);
            result("steal", one / compute(s, 2), "x");
        }
        "echo" => run(s, echo),
        _ => std::process::exit(77),
    }
}
