//! tokio: on the current thread, and on two threads that steal.

use crate::small::{SLEEPERS, SLEEPS_EACH, TIMES, timed};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

fn runtime(threads: usize) -> Runtime {
    let built = match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    };
    built.expect("a runtime")
}

/// CPU of small things.
pub fn small(what: &str, threads: usize) -> Option<(Duration, u32)> {
    let runtime = runtime(threads);
    // On the workers, not on the thread that waits for them.
    let on = |work: fn(u32) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        move |times| runtime.block_on(async { tokio::spawn(work(times)).await.expect("no panic") })
    };
    match what {
        "spawn" => Some(timed(TIMES, on(|times| Box::pin(spawns(times))))),
        "yield" => Some(timed(TIMES, on(|times| Box::pin(yields(times))))),
        "channel" => Some(timed(TIMES / 4, on(|times| Box::pin(channel(times))))),
        "timer" => Some(timed(SLEEPERS * SLEEPS_EACH, on(|times| Box::pin(timers(times))))),
        _ => None,
    }
}

async fn spawns(times: u32) {
    for _ in 0..times {
        tokio::spawn(async {}).await.expect("no panic");
    }
}

async fn yields(times: u32) {
    let other = tokio::spawn(async move {
        for _ in 0..times / 2 {
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..times / 2 {
        tokio::task::yield_now().await;
    }
    other.await.expect("no panic");
}

async fn channel(times: u32) {
    let (there, mut asked) = mpsc::channel::<u32>(16);
    let (back, mut answers) = mpsc::channel::<u32>(16);
    let other = tokio::spawn(async move {
        while let Some(number) = asked.recv().await {
            back.send(number).await.expect("open");
        }
    });
    for number in 0..times {
        there.send(number).await.expect("open");
        answers.recv().await.expect("open");
    }
    drop(there);
    other.await.expect("no panic");
}

async fn timers(times: u32) {
    let sleeper = || async move {
        for _ in 0..times / SLEEPERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let sleepers: Vec<_> = (0..SLEEPERS).map(|_| tokio::spawn(sleeper())).collect();
    for sleeper in sleepers {
        sleeper.await.expect("no panic");
    }
}

/// Serves for ever: an echo, or a relay to `upstream`.
pub fn serve(threads: usize, upstream: Option<SocketAddr>) {
    runtime(threads).block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        crate::net::ready(listener.local_addr().expect("it is bound"));
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            client.set_nodelay(true).expect("TCP");
            match upstream {
                None => drop(tokio::spawn(echo(client))),
                Some(upstream) => drop(tokio::spawn(relay(client, upstream))),
            }
        }
    });
}

async fn echo(mut client: TcpStream) {
    let mut bytes = vec![0; 8192];
    while let Ok(count @ 1..) = client.read(&mut bytes).await {
        if client.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    server.set_nodelay(true).expect("TCP");
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
