//! Where the computing is done: small requests on the thread that read them, large ones on a pool of their own
//! with so many places, in the background of the operating system's schedule. So a batch of a hundred thousand
//! rows does not keep a single row waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

use crate::background;
use crate::server::api::error::Failure;

/// A larger body is a large request: from here on it takes longer to answer than to hand over, and would keep
/// others waiting.
pub(crate) const LARGE_BODY_BYTES: usize = 64 * 1024;

/// For each thread of the pool, large requests that are computed at once: one can be read or written while
/// another is predicted.
const BATCHES_PER_THREAD: usize = 2;

/// For each place, large requests that may wait for it; more are turned away.
const WAITING_PER_PLACE: usize = 8;

/// How far the pool steps back: of contending threads the kernel gives one of nice 10 a tenth of what one of
/// nice 0 gets (`sched(7)`).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// From now on the calling thread computes in the background.
pub(crate) fn step_back() {
    background::enter();
    #[cfg(target_os = "linux")]
    // On Linux this is about the thread alone (setpriority(2)); without the right to, it stays as it is.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// The pool for large requests, and the places for streams.
#[derive(Debug)]
pub(crate) struct Work {
    pool: ThreadPool,
    places: Semaphore,
    n_places: usize,
    waiting: AtomicUsize,
    /// One for each body that is predicted while it arrives; each has a thread.
    pub(crate) streams: Semaphore,
}

impl Work {
    /// A pool of as many threads as there are cores, or `threads`.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub(crate) fn new(threads: usize, streams: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("batch-{i}"))
            .start_handler(|_| step_back())
            .build()
            .context("cannot start the threads for large requests")?;
        let n_places = pool.current_num_threads() * BATCHES_PER_THREAD;
        let (places, streams) = (Semaphore::new(n_places), Semaphore::new(streams));
        Ok(Self { pool, places, n_places, waiting: AtomicUsize::new(0), streams })
    }

    /// Runs a large request on the pool.
    ///
    /// # Errors
    /// Too many wait already, or it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let _waiting = Waiting::enter(&self.waiting, self.n_places * (1 + WAITING_PER_PLACE))?;
        // The semaphore is never closed.
        let _place = self.places.acquire().await.map_err(|_| Failure::Overloaded)?;
        let (tell, told) = oneshot::channel();
        self.pool.spawn(move || {
            // Who asked may be gone.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(job)));
        });
        match told.await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Failure::Panicked),
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, limit: usize) -> Result<Self, Failure> {
        let waiting = Self(count);
        if count.fetch_add(1, Relaxed) < limit { Ok(waiting) } else { Err(Failure::Overloaded) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
