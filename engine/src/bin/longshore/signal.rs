//! SIGINT and SIGTERM: the first closes the loader so that what was done can be told, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longshore::Closer;

use crate::failure::Failure;

const EXIT_CODE: i32 = 130;

/// Whether somebody asked the process to end.
#[derive(Clone, Debug)]
pub struct Interrupt {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    closer: Mutex<Option<Closer>>,
}

impl Interrupt {
    /// Starts the thread that waits for signals. Call it before any other thread is started: they inherit the blocked signals.
    pub fn install() -> Result<Self, Failure> {
        let interrupt = Self { state: Arc::default() };
        let waiter = interrupt.clone();
        unix::on_each_signal(move || waiter.asked_again()).map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
        Ok(interrupt)
    }

    /// True once a signal came.
    pub fn was_asked(&self) -> bool {
        // Acquire: pairs with the Release in `asked_again`, which closes the loader after it; who sees the loader closed by
        // the signal sees the flag too (the loader's own protocol orders the two).
        self.state.asked.load(Ordering::Acquire)
    }

    /// Closes this loader when a signal comes; at once if one came already.
    pub fn closes(&self, closer: Closer) {
        let mut slot = self.state.closer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.was_asked() {
            closer.close();
        }
        *slot = Some(closer);
    }

    /// Ends the process when nothing is there to be closed, or on the second signal.
    fn asked_again(&self) {
        // AcqRel: the Release half pairs with `was_asked`.
        let before = self.state.asked.swap(true, Ordering::AcqRel);
        let slot = self.state.closer.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(closer) if !before => closer.close(),
            _ => std::process::exit(EXIT_CODE),
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io;

    /// Blocks SIGINT and SIGTERM in this thread and those it starts, and calls `act` for each in a thread of its own.
    pub fn on_each_signal(act: impl Fn() + Send + 'static) -> io::Result<()> {
        let set = blocked()?;
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            loop {
                let mut signal = 0;
                // SAFETY: both pointers are to live locals; the set was initialised by `sigemptyset`.
                if unsafe { libc::sigwait(&raw const set, &raw mut signal) } == 0 {
                    act();
                }
            }
        })?;
        Ok(())
    }

    fn blocked() -> io::Result<libc::sigset_t> {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the whole set before anything reads it; the signals are valid; a null old set is allowed.
        let (set, status) = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            let set = set.assume_init();
            (set, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))
        };
        if status == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(status)) }
    }
}

#[cfg(not(unix))]
mod unix {
    /// Elsewhere the system's own handling stays: the process ends.
    pub fn on_each_signal(_act: impl Fn() + Send + 'static) -> std::io::Result<()> {
        Ok(())
    }
}
