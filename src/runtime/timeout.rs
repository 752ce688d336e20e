//! Timers, and waiting for something up to a limit. The future that comes second is dropped, which every future here allows;
//! a task is never cancelled.

use std::future::Future;
use std::time::Duration;

use futures_lite::future;
pub use glommio::timer::{Timer, sleep};

use crate::runtime::stop::Stop;

/// `None`: the time was over first. A future that is ready counts, also after the time.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let timer = async {
        sleep(limit).await;
        None
    };
    future::or(async { Some(future.await) }, timer).await
}

/// `None`: the flag was set first.
pub async fn unless<T>(stop: &Stop, future: impl Future<Output = T>) -> Option<T> {
    let stopped = async {
        stop.wait().await;
        None
    };
    future::or(stopped, async { Some(future.await) }).await
}
