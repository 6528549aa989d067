//! A waker that lets no wake through while its task runs anyway.
//!
//! A connection that is driven by the task which reads from it wakes that task for each piece that the task has just
//! taken. Each such wake makes the task run once more for nothing, for every token of every stream. The filter holds
//! wakes back while the task is at it, and makes up for them where the task is about to sleep.

use futures_util::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// The filter of one task.
pub(super) struct WakeFilter {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Default)]
struct Shared {
    task: AtomicWaker,
    is_shut: AtomicBool,
    missed: AtomicBool,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        Self::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // First the note, then the look: a task that opens the filter in between sees the note.
        self.missed.store(true, Ordering::SeqCst);
        if !self.is_shut.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl WakeFilter {
    pub(super) fn new() -> Self {
        let shared = Arc::<Shared>::default();
        Self {
            waker: Waker::from(Arc::clone(&shared)),
            shared,
        }
    }

    /// Polls with wakes held back. A poll that is ready is followed by another, which sees what a wake would have
    /// told; one that is pending is woken at once if a wake came.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let shared = &self.shared;
        shared.task.register(cx.waker());
        shared.is_shut.store(true, Ordering::SeqCst);
        // What came until here is seen by the poll below.
        shared.missed.store(false, Ordering::SeqCst);
        let polled = poll(&mut Context::from_waker(&self.waker));
        shared.is_shut.store(false, Ordering::SeqCst);
        if polled.is_pending() && shared.missed.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wakes_inside_a_poll_count_only_where_the_task_would_sleep() {
        let (filter, count) = (WakeFilter::new(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let wakes = || count.0.load(Ordering::SeqCst);
        let mut kept = None;
        assert!(
            filter
                .poll(&mut cx, |cx| {
                    cx.waker().wake_by_ref();
                    Poll::Ready(())
                })
                .is_ready()
        );
        assert_eq!(wakes(), 0);
        assert!(
            filter
                .poll(&mut cx, |cx| {
                    kept = Some(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .is_pending()
        );
        assert_eq!(wakes(), 0);
        // Between two polls it is an ordinary waker.
        kept.unwrap().wake();
        assert_eq!(wakes(), 1);
        assert!(
            filter
                .poll(&mut cx, |cx| {
                    cx.waker().wake_by_ref();
                    Poll::<()>::Pending
                })
                .is_pending()
        );
        assert_eq!(wakes(), 2);
    }

    #[test]
    fn no_wake_from_another_thread_is_lost() {
        use std::sync::mpsc;
        // The other thread sets the flag, then wakes; whoever sleeps with the flag set would sleep for ever.
        let filter = WakeFilter::new();
        let flag = AtomicBool::new(false);
        let (asleep, woken) = mpsc::channel();
        struct Send(mpsc::Sender<()>);
        impl Wake for Send {
            fn wake(self: Arc<Self>) {
                let _ = self.0.send(());
            }
        }
        let task = Waker::from(Arc::new(Send(asleep)));
        let mut cx = Context::from_waker(&task);
        for _ in 0..2_000 {
            flag.store(false, Ordering::SeqCst);
            while woken.try_recv().is_ok() {}
            std::thread::scope(|scope| {
                let (flag, waker) = (&flag, filter.waker.clone());
                scope.spawn(move || {
                    flag.store(true, Ordering::SeqCst);
                    waker.wake();
                });
                while filter
                    .poll(&mut cx, |_| match flag.load(Ordering::SeqCst) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    })
                    .is_pending()
                {
                    let limit = std::time::Duration::from_secs(10);
                    woken.recv_timeout(limit).expect("a wake was lost");
                }
            });
        }
    }
}
