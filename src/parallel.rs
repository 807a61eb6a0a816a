//! Tasks on all cores, for every loop whose tasks are few and large.
//!
//! The tasks are called through `dyn`, so that rayon's machinery is compiled once and not again for each loop.
//! Results come in the order of the tasks, whatever the number of threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Calls `run` once for each index below `n`.
pub(crate) fn for_each_index(n: usize, run: &(dyn Fn(usize) + Sync)) {
    match n {
        0 => {}
        1 => run(0),
        _ => (0..n).into_par_iter().for_each(run),
    }
}

/// The results of `run` for each index below `n`.
pub(crate) fn map_indices<T: Send>(n: usize, run: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let results: Vec<Mutex<Option<T>>> = (0..n).map(|_| Mutex::new(None)).collect();
    for_each_index(n, &|i| {
        let result = run(i);
        *results[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    results
        .into_iter()
        .filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// The results of `run` for tasks that are used up.
pub(crate) fn map<A: Send, T: Send>(tasks: Vec<A>, run: &(dyn Fn(A) -> T + Sync)) -> Vec<T> {
    if tasks.len() < 2 {
        return tasks.into_iter().map(run).collect();
    }
    let tasks: Vec<Mutex<Option<A>>> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let results = map_indices(tasks.len(), &|i| {
        let task = tasks[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        task.map(run)
    });
    results.into_iter().flatten().collect()
}

/// Calls both, if there is a thread to spare at the same time.
pub(crate) fn join(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    rayon::join(a, b);
}

/// Runs on a thread of the pool: parallel loops within need not wake it each time.
pub(crate) fn on_pool<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| run())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_tasks_from_any_number_of_threads() {
        for n_threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            for n in [0, 1, 2, 1000] {
                let texts: Vec<String> = (0..n).map(|i| i.to_string()).collect();
                let found = pool.install(|| map(texts.clone(), &|text| text + "!"));
                assert_eq!(found, texts.iter().map(|text| format!("{text}!")).collect::<Vec<_>>());
                let squares = pool.install(|| map_indices(n, &|i| i * i));
                assert_eq!(squares, (0..n).map(|i| i * i).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn tasks_may_have_tasks_of_their_own() {
        let sums = map_indices(20, &|i| map_indices(20, &|j| i * j).into_iter().sum::<usize>());
        assert_eq!(sums, (0..20).map(|i| 190 * i).collect::<Vec<_>>());
        let (mut a, mut b) = (0, 0);
        join(&mut || a = 1, &mut || b = 2);
        assert_eq!((a, b), (1, 2));
    }
}
