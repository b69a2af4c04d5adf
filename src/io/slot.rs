//! A slot between two threads: the newest value wins and the writer never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_utils::atomic::AtomicCell;

/// What is done after each [`Slot::put`], to wake the reader.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Holds at most one value; a new one replaces one that nobody took. Lock-free: the value travels as
/// one pointer.
pub struct Slot<T> {
    value: AtomicCell<Option<Arc<T>>>,
    wake: Wake,
}

impl<T: Send + Sync> Slot<T> {
    /// An empty slot whose reader is woken by `wake` (an unpark, a `Notify`).
    pub fn new(wake: Wake) -> Arc<Self> {
        debug_assert!(AtomicCell::<Option<Arc<T>>>::is_lock_free());
        Arc::new(Self {
            value: AtomicCell::new(None),
            wake,
        })
    }

    /// Leaves `value` for the reader. Returns true where it replaced one that nobody took.
    pub fn put(&self, value: Arc<T>) -> bool {
        let replaced = self.value.swap(Some(value)).is_some();
        (self.wake)();
        replaced
    }

    /// Takes the newest value, if there is one since the last time.
    pub fn take(&self) -> Option<Arc<T>> {
        self.value.take()
    }
}

/// Whether a thread waits for something, or looks at it when other things wake it: what need not be
/// looked at at once wakes nobody.
#[derive(Debug, Default)]
pub struct Gate(AtomicBool);

impl Gate {
    /// From now on, what comes wakes. What came before this call did not, so look once more after it.
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// From now on, what comes waits.
    pub fn close(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether what was just left for the thread is to wake it.
    pub fn is_open(&self) -> bool {
        // Either this sees an open gate, or the thread, once it has opened it, sees what was left.
        fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst)
    }
}

/// A [`Wake`] that unparks the given thread.
pub fn unpark(thread: std::thread::Thread) -> Wake {
    Arc::new(move || thread.unpark())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_wins() {
        let slot = Slot::new(Arc::new(|| ()));
        assert!(!slot.put(Arc::new(1)));
        assert!(slot.put(Arc::new(2)));
        assert_eq!(slot.take().as_deref(), Some(&2));
        assert!(slot.take().is_none());
    }
}
