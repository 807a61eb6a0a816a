//! The threads that predict: small requests run on the thread that read them, large ones on a pool of their own
//! with a limited queue and low priority. So a batch of a hundred thousand rows does not delay a single row.
//!
//! A job keeps its slot in the queue, and whatever it holds of memory, until it has ended; the job of a client that is
//! gone is not begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

use crate::background;
use crate::server::error::Failure;

/// A request with a longer body is large: answering it takes longer than handing it over, and would delay others.
pub(crate) const LARGE_BODY_BYTES: usize = 64 * 1024;

/// Large requests that run at once per thread of the pool: one can be read or written while another is predicted.
const JOBS_PER_THREAD: usize = 2;

/// Requests with long bodies that may wait per running one; more are answered 503. Others take less memory than a
/// connection, so the limit on requests in flight is enough for them.
const WAITING_PER_PERMIT: usize = 8;

/// The priority of the pool: a contending thread of nice 10 gets about a tenth of the time of one of nice 0
/// (`sched(7)`).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lowers the priority of the calling thread from now on.
pub(crate) fn step_back() {
    background::enter();
    #[cfg(target_os = "linux")]
    // On Linux this concerns the thread alone (setpriority(2)); if it is not permitted, the priority stays.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// The pool for large requests.
#[derive(Debug)]
pub(crate) struct Work {
    pool: ThreadPool,
    permits: Arc<Semaphore>,
    n_permits: usize,
    waiting: Arc<AtomicUsize>,
}

impl Work {
    /// A pool of as many threads as there are cores, or `threads`.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("batch-{i}"))
            .start_handler(|_| step_back())
            .build()
            .context("cannot start the threads for large requests")?;
        let n_permits = pool.current_num_threads() * JOBS_PER_THREAD;
        let permits = Arc::new(Semaphore::new(n_permits));
        Ok(Self { pool, permits, n_permits, waiting: Arc::default() })
    }

    /// Runs a request of so many bytes on the pool.
    ///
    /// # Errors
    /// Too many requests wait already, or the job panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        n_bytes: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let limit = self.n_permits * (1 + WAITING_PER_PERMIT);
        let waiting =
            (n_bytes > LARGE_BODY_BYTES).then(|| Waiting::enter(&self.waiting, limit)).transpose()?;
        // The semaphore is never closed.
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| Failure::Overloaded)?;
        let (tell, told) = oneshot::channel();
        self.pool.spawn(move || {
            let slots = (waiting, permit);
            // The client may have gone while the job was in the queue of the pool.
            if tell.is_closed() {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(job));
            drop(slots);
            let _ = tell.send(done);
        });
        match told.await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Failure::Panicked),
        }
    }
}

/// A slot of a job that waits or runs.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn enter(count: &Arc<AtomicUsize>, limit: usize) -> Result<Self, Failure> {
        let waiting = Self(Arc::clone(count));
        if count.fetch_add(1, Relaxed) < limit { Ok(waiting) } else { Err(Failure::Overloaded) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LARGE: usize = LARGE_BODY_BYTES + 1;

    #[tokio::test]
    async fn a_job_gives_its_result_and_a_panic_is_a_failure_of_that_job_alone() {
        let work = Work::new(1).unwrap();
        let panicked: Result<(), Failure> =
            work.run(LARGE, || std::panic::resume_unwind(Box::new("defect"))).await;
        assert!(matches!(panicked, Err(Failure::Panicked)));
        assert_eq!(work.run(LARGE, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn jobs_beyond_the_queue_are_turned_away_at_once() {
        let work = Work::new(1).unwrap();
        let limit = work.n_permits * (1 + WAITING_PER_PERMIT);
        let (finish, finished) = mpsc::channel::<()>();
        let finished = std::sync::Arc::new(std::sync::Mutex::new(finished));
        let mut jobs: Vec<_> = (0..limit)
            .map(|_| {
                let finished = std::sync::Arc::clone(&finished);
                Box::pin(work.run(LARGE, move || {
                    let _ = finished.lock().unwrap().recv();
                }))
            })
            .collect();
        assert!(poll_once(&mut jobs).await.iter().all(Option::is_none));
        assert!(matches!(work.run(LARGE, || ()).await, Err(Failure::Overloaded)));
        let mut short = [Box::pin(work.run(100, || ()))];
        assert!(poll_once(&mut short).await[0].is_none(), "one with a short body waits");
        drop(short);
        drop(finish);
        for job in &mut jobs {
            job.await.unwrap();
        }
        assert!(work.run(LARGE, || ()).await.is_ok(), "their permits are given back");
    }

    #[tokio::test]
    async fn the_job_of_a_client_that_is_gone_is_not_begun_and_keeps_its_slot_until_then() {
        let work = Work::new(1).unwrap();
        let (finish, finished) = mpsc::channel::<()>();
        let first = work.run(LARGE, move || finished.recv().is_ok());
        let mut first = [Box::pin(first)];
        poll_once(&mut first).await;
        // One job is at work and one in the queue of the pool; the others wait for a permit.
        let begun = Arc::new(AtomicUsize::new(0));
        let held = Arc::new(());
        let mut others: Vec<_> = (0..work.n_permits + 2)
            .map(|_| {
                let (begun, held) = (Arc::clone(&begun), Arc::clone(&held));
                Box::pin(work.run(LARGE, move || {
                    begun.fetch_add(1, Relaxed);
                    drop(held);
                }))
            })
            .collect();
        poll_once(&mut others).await;
        let n_queued = work.n_permits - 1;
        drop(others);
        assert_eq!(work.waiting.load(Relaxed), 1 + n_queued, "those in the queue of the pool count");
        assert_eq!(Arc::strong_count(&held), 1 + n_queued, "with what they hold");
        finish.send(()).unwrap();
        for job in &mut first {
            assert!(job.await.unwrap());
        }
        work.run(LARGE, || ()).await.unwrap();
        assert_eq!((begun.load(Relaxed), Arc::strong_count(&held)), (0, 1));
        assert_eq!(work.waiting.load(Relaxed), 0);
    }

    /// Starts all of them.
    async fn poll_once<F: Future + Unpin>(jobs: &mut [F]) -> Vec<Option<F::Output>> {
        std::future::poll_fn(|cx| {
            let polled = jobs.iter_mut().map(|job| match std::pin::Pin::new(job).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            });
            std::task::Poll::Ready(polled.collect())
        })
        .await
    }
}
