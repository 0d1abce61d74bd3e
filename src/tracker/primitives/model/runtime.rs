//! A runtime that is one checked thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex as Unchecked, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::sync::{Condvar, Mutex};

use super::idle::{self, Parker};
use super::time::{self, Instant};

loom::thread_local! {
    static CURRENT: RefCell<Option<Handle>> = RefCell::new(None);
}

/// Runs what is spawned on it, while a thread is in [`run`](Handle::run).
#[derive(Clone)]
pub struct Handle(Arc<Runtime>);

/// Tells runtimes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

struct Runtime {
    haste: Duration,
    state: Mutex<State>,
    changed: Condvar,
    /// Used by the runtime's own thread, and when every other one waits, so the checker need not
    /// see it.
    timers: Unchecked<Timers>,
}

struct State {
    tasks: Vec<Arc<Task>>,
    ready: VecDeque<Arc<Task>>,
    phase: Phase,
    /// Whether the runtime's thread waits for a change.
    is_idle: bool,
    /// Whether everybody waits, for the first timer of this runtime at last.
    time_is_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Ends when there is nothing left to do.
    Finishing,
    ShutDown,
}

#[derive(Default)]
struct Timers {
    armed: BTreeMap<u64, (Instant, Waker)>,
    last: u64,
}

type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    runtime: Handle,
    /// Absent while it is polled, and when it is done. Only used by the runtime's own thread.
    future: Unchecked<Option<Spawned>>,
}

/// What a runtime does next.
enum Next {
    Poll(Arc<Task>),
    Fire(Instant, Waker),
    End(Vec<Arc<Task>>),
}

impl Handle {
    /// A runtime that nobody runs yet.
    ///
    /// It moves the clock on to its first timer when everybody waits, and by no more than `haste`
    /// at any moment: as if the others had taken that long for what they do.
    pub fn new(haste: Duration) -> Self {
        Self(Arc::new(Runtime {
            haste,
            state: Mutex::new(State {
                tasks: Vec::new(),
                ready: VecDeque::new(),
                phase: Phase::Running,
                is_idle: false,
                time_is_up: false,
            }),
            changed: Condvar::new(),
            timers: Unchecked::default(),
        }))
    }

    /// The runtime that this thread is in.
    ///
    /// # Panics
    ///
    /// If it is in none.
    pub fn current() -> Self {
        CURRENT
            .with(|current| current.borrow().clone())
            .expect("a runtime was entered")
    }

    /// Tells it from others.
    pub fn id(&self) -> Id {
        Id(Arc::as_ptr(&self.0) as usize)
    }

    /// Runs `work` as a thread that is in this runtime.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.with(|current| current.replace(Some(self.clone())));
        let result = work();
        CURRENT.with(|current| current.replace(before));
        result
    }

    /// Blocks this thread until `future` is done. It is polled once, and then only when it is woken.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let parker = Arc::new(Parker::default());
        let waker = Waker::from(Arc::clone(&parker));
        let mut future = pin!(future);
        self.enter(|| {
            loop {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(output) = polled {
                    return output;
                }
                parker.park();
            }
        })
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let task = Arc::new(Task {
            runtime: self.clone(),
            future: Unchecked::new(Some(Box::pin(future))),
        });
        let refused = self.change(|state| match state.phase {
            Phase::ShutDown => Some(task),
            Phase::Running | Phase::Finishing => {
                state.tasks.push(Arc::clone(&task));
                state.ready.push_back(task);
                None
            }
        });
        drop(refused);
    }

    /// Runs what is spawned, and moves the clock on, until it is told to end.
    ///
    /// # Panics
    ///
    /// When told to [`finish`](Self::finish), if a task is left that nothing will ever wake.
    pub fn run(&self) {
        idle::add_runtime(self.clone());
        self.enter(|| {
            loop {
                match self.next() {
                    Next::Poll(task) => task.poll(),
                    Next::Fire(at, waker) => {
                        time::leap(at);
                        waker.wake();
                    }
                    Next::End(tasks) => {
                        for task in &tasks {
                            drop(task.take());
                        }
                        break;
                    }
                }
            }
        });
        idle::remove_runtime(self);
    }

    fn next(&self) -> Next {
        let mut state = self.0.state.lock().unwrap();
        loop {
            if state.phase == Phase::ShutDown {
                state.ready.clear();
                return Next::End(std::mem::take(&mut state.tasks));
            }
            if let Some(task) = state.ready.pop_front() {
                return Next::Poll(task);
            }
            let first = self.first_timer();
            let may_hurry = first.is_some_and(|first| time::until(first) <= self.0.haste);
            if std::mem::take(&mut state.time_is_up) || may_hurry {
                if let Some((at, waker)) = self.timers().pop_first() {
                    return Next::Fire(at, waker);
                }
            }
            if state.phase == Phase::Finishing && first.is_none() {
                assert_eq!(state.tasks.len(), 0, "tasks that nothing will ever wake");
                return Next::End(Vec::new());
            }
            state = self.wait(state);
        }
    }

    fn wait<'a>(
        &self,
        mut state: loom::sync::MutexGuard<'a, State>,
    ) -> loom::sync::MutexGuard<'a, State> {
        match idle::enter() {
            Some(next) if next.id() == self.id() => {
                idle::leave();
                state.time_is_up = true;
                return state;
            }
            Some(next) => next.pass_time(),
            None => {}
        }
        state.is_idle = true;
        while state.is_idle {
            state = self.0.changed.wait(state).unwrap();
        }
        state
    }

    /// Everybody waits, for this runtime at last.
    pub(super) fn pass_time(&self) {
        self.change(|state| state.time_is_up = true);
    }

    /// How many tasks have not ended.
    pub fn tasks(&self) -> usize {
        self.change(|state| state.tasks.len())
    }

    /// Whether this is the last handle to it, and nobody keeps a waker of one of its tasks.
    pub fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Lets [`run`](Self::run) end as soon as all tasks have.
    pub fn finish(&self) {
        self.change(|state| state.phase = Phase::Finishing);
    }

    /// Ends [`run`](Self::run), and with it every task.
    pub fn shut_down(&self) {
        self.change(|state| state.phase = Phase::ShutDown);
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.lock().unwrap();
        let result = change(&mut state);
        if std::mem::take(&mut state.is_idle) {
            idle::leave();
            self.0.changed.notify_one();
        }
        result
    }

    pub(super) fn first_timer(&self) -> Option<Instant> {
        self.timers().first().map(|(at, _)| at)
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timers {
    fn first(&self) -> Option<(Instant, u64)> {
        self.armed.iter().map(|(id, (at, _))| (*at, *id)).min()
    }

    fn pop_first(&mut self) -> Option<(Instant, Waker)> {
        let (_, id) = self.first()?;
        self.armed.remove(&id)
    }
}

impl Task {
    fn take(&self) -> Option<Spawned> {
        self.future().take()
    }

    fn future(&self) -> MutexGuard<'_, Option<Spawned>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(self: Arc<Self>) {
        let Some(mut future) = self.take() else {
            return;
        };
        let waker = Waker::from(Arc::clone(&self));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => *self.future() = Some(future),
            Poll::Ready(()) => self
                .runtime
                .change(|state| state.tasks.retain(|task| !Arc::ptr_eq(task, &self))),
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let runtime = self.runtime.clone();
        runtime.change(|state| {
            let is_alive = state.tasks.iter().any(|task| Arc::ptr_eq(task, &self));
            let is_ready = state.ready.iter().any(|task| Arc::ptr_eq(task, &self));
            if is_alive && !is_ready {
                state.ready.push_back(Arc::clone(&self));
            }
        });
    }
}

/// Wakes a task of one runtime at one time.
pub(super) struct Timer {
    runtime: Handle,
    id: u64,
}

impl Timer {
    pub(super) fn new(runtime: Handle) -> Self {
        let id = {
            let mut timers = runtime.timers();
            timers.last += 1;
            timers.last
        };
        Self { runtime, id }
    }

    pub(super) fn arm(&self, at: Instant, waker: Waker) {
        let old = self.runtime.timers().armed.insert(self.id, (at, waker));
        drop(old);
    }

    pub(super) fn disarm(&self) {
        let old = self.runtime.timers().armed.remove(&self.id);
        drop(old);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id()).finish()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timer").field(&self.id).finish()
    }
}
