//! Named steps of what has more than one: places where a test stops a process, and kills it there. Without the
//! feature `steps` there is nothing of it in the library.

#[cfg(not(feature = "steps"))]
mod armed {
    #[inline(always)]
    pub(in crate::sync) fn step(_name: &'static str) {}

    #[inline(always)]
    pub(in crate::sync) fn slice_ns(slice_ns: i64) -> i64 {
        slice_ns
    }
}

#[cfg(feature = "steps")]
mod armed {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// At which step, and what then.
    type Action = (usize, fn());

    thread_local! {
        static ARMED: Cell<Option<Action>> = const { Cell::new(None) };
        static PASSED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    static WITHOUT_SLICES: AtomicBool = AtomicBool::new(false);

    /// From here on this thread counts its steps, and does `action` at the one of this number, from 0.
    pub fn act_at(number: usize, action: fn()) {
        PASSED.with_borrow_mut(Vec::clear);
        ARMED.set(Some((number, action)));
    }

    /// The steps since then.
    pub fn passed() -> Vec<&'static str> {
        PASSED.with_borrow(Clone::clone)
    }

    /// No wait ends because its slice is over: a wake-up that is lost is lost for ever.
    pub fn without_slices(without: bool) {
        WITHOUT_SLICES.store(without, Ordering::Relaxed);
    }

    pub(in crate::sync) fn step(name: &'static str) {
        let Some((number, action)) = ARMED.get() else { return };
        let passed = PASSED.with_borrow_mut(|passed| {
            passed.push(name);
            passed.len()
        });
        if passed - 1 == number {
            action();
        }
    }

    pub(in crate::sync) fn slice_ns(slice_ns: i64) -> i64 {
        match WITHOUT_SLICES.load(Ordering::Relaxed) {
            true => i64::MAX >> 1,
            false => slice_ns,
        }
    }
}

#[cfg(feature = "steps")]
pub use armed::{act_at, passed, without_slices};
pub(super) use armed::{slice_ns, step};
