//! Work in the background of a server: it gives way to the threads that answer, at many small places.
//!
//! A thread of a lower priority is not enough. Where the kernel lets a thread that computes finish its time slice
//! before one that wakes up may run, that one waits for milliseconds (Linux: `EEVDF`, with slices of 3 ms and more).

use std::cell::Cell;

thread_local! {
    static IS_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Rows processed between two yields: about ten microseconds of work, compared with which the system call is cheap.
pub const ROWS_AT_A_TIME: usize = 128;

/// From now on the calling thread gives way.
pub fn enter() {
    IS_BACKGROUND.set(true);
}

/// Whether the calling thread gives way.
pub fn is_entered() -> bool {
    IS_BACKGROUND.get()
}

/// Lets the threads that wait for this core run first, if the calling thread works in the background.
pub fn give_way() {
    if IS_BACKGROUND.get() {
        std::thread::yield_now();
    }
}

/// As [`give_way`], now and then, row after row.
pub fn give_way_at(row: usize) {
    if row % ROWS_AT_A_TIME == ROWS_AT_A_TIME - 1 {
        give_way();
    }
}
