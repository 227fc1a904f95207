//! Work that goes on when the one who asked for it is gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that is run to its end even if the one who awaits it goes away.
///
/// A caller who hangs up drops the future of his request in the middle of it. What is wrapped in this is then moved
/// to a task of its own, so that a charge is not parted from its ending. While the caller waits there is no other
/// task, and so no detour over a queue.
pub(crate) struct Outlive<F: Future + Send + 'static>
where
    F::Output: Send,
{
    work: Option<Pin<Box<F>>>,
}

impl<F: Future + Send + 'static> Outlive<F>
where
    F::Output: Send,
{
    pub(crate) fn new(work: F) -> Self {
        Self { work: Some(Box::pin(work)) }
    }
}

impl<F: Future + Send + 'static> Future for Outlive<F>
where
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it runs: work that panics is over, and must not be run again by `drop`.
        let mut work = self.work.take().expect("not awaited again after it is done");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for Outlive<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        // Without a runtime nothing can be waited for any more: what the work holds is settled by being dropped.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it() {
        let (go, told_to_go) = oneshot::channel::<()>();
        let (done, heard) = oneshot::channel();
        let mut work = Outlive::new(async move {
            told_to_go.await.unwrap();
            done.send("done").unwrap();
        });
        assert!(Pin::new(&mut work).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(heard.await.unwrap(), "done");
    }

    #[tokio::test]
    async fn work_that_is_awaited_gives_what_it_gives() {
        assert_eq!(Outlive::new(async { 7 }).await, 7);
    }
}
