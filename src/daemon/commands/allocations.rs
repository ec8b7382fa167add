//! Counts heap allocations of each thread, those inside tract apart: `glintd bench` reports them.
//!
//! A program has one allocator, so `glintd run` goes through this one too. It counts only after [`start`]. Until then an
//! allocation costs one relaxed load of a flag that is never written: a plain load from a line that stays in the cache, and
//! a branch that is always predicted. The system's allocator takes tens of nanoseconds beside it, and a followed face
//! allocates nothing of ours anyway.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// Allocations of this thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// By glint.
    pub(crate) ours: u64,
    /// By tract, while it runs a network.
    pub(crate) tract: u64,
}

/// Whether allocations are counted.
static COUNTING: AtomicBool = AtomicBool::new(false);

/// Counts from now on, in every thread.
pub(crate) fn start() {
    // Whoever has started before has set the same observer.
    let _ = glint::model::observe_networks(|runs| IN_NETWORK.set(runs));
    // Nothing else is handed over by the flag, so no order is needed.
    COUNTING.store(true, Ordering::Relaxed);
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { ours: 0, tract: 0 }) };
    /// Whether this thread runs a network.
    static IN_NETWORK: Cell<bool> = const { Cell::new(false) };
}

/// Allocations of this thread so far.
pub(crate) fn count() -> Count {
    COUNT.try_with(Cell::get).unwrap_or_default()
}

/// The system's allocator, counting where it is asked to.
pub(crate) struct Counting;

fn note() {
    if !COUNTING.load(Ordering::Relaxed) {
        return;
    }
    // A thread that ends has no counter any more: its last frees and allocations do not matter.
    let _ = COUNT.try_with(|c| {
        let mut count = c.get();
        if IN_NETWORK.try_with(Cell::get).unwrap_or(false) {
            count.tract += 1
        } else {
            count.ours += 1
        }
        c.set(count);
    });
}

// SAFETY: every call is handed to the system's allocator unchanged; the counter neither allocates nor
// unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
}
