//! Trainings beside each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// What `train` makes of each job, in the order of `jobs`: as many trainings at a time as the current pool has threads,
/// one thread each.
///
/// Trainings must not share a pool of threads. burn holds the lock of a graph while it takes gradients, and wants the locks
/// of all graphs after each: a worker that waits inside a gradient for the rest of it would take up another training
/// meanwhile and wait for its own lock.
///
/// # Errors
/// The first error in the order of `jobs`; what has not begun by then is not begun.
pub fn side_by_side<J: Sync, R: Send>(jobs: &[J], train: impl Fn(&J) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        let indices = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        for i in indices.take_while(|i| *i < jobs.len()) {
            let result = train(&jobs[i]);
            if result.is_err() {
                next.store(jobs.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..rayon::current_num_threads().min(jobs.len()) {
            let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("threads")?;
            scope.spawn(move || alone.install(work));
        }
        Ok(())
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn results_come_in_order_and_each_training_has_a_pool_of_one() {
        let jobs: Vec<usize> = (0..40).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("pool");
        let squares = pool.install(|| {
            side_by_side(&jobs, |j| {
                assert_eq!(rayon::current_num_threads(), 1);
                Ok(j * j)
            })
        });
        assert_eq!(squares.expect("squares"), jobs.iter().map(|j| j * j).collect::<Vec<_>>());
        assert!(side_by_side(&[], |j: &usize| Ok(*j)).expect("nothing").is_empty());
    }

    #[test]
    fn the_first_error_is_told_and_ends_the_rest() {
        let begun = AtomicUsize::new(0);
        let jobs: Vec<usize> = (0..1000).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("pool");
        let error = pool.install(|| {
            side_by_side(&jobs, |j| {
                begun.fetch_add(1, Ordering::Relaxed);
                if *j >= 3 { bail!("job {j}") } else { Ok(()) }
            })
        });
        assert_eq!(error.expect_err("fails").to_string(), "job 3");
        assert!(begun.into_inner() <= 5);
    }
}
