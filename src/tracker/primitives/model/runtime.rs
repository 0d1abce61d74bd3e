//! A runtime that is one checked thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex as Unchecked, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};

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
    state: Mutex<State>,
    changed: Condvar,
    /// Only ever used by the runtime's own thread, so the checker need not see it.
    timers: Unchecked<Timers>,
}

struct State {
    tasks: Vec<Arc<Task>>,
    ready: VecDeque<Arc<Task>>,
    phase: Phase,
    /// Whether the runtime's thread waits for a change.
    is_idle: bool,
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

struct Task {
    runtime: Handle,
    /// Absent while it is polled, and when it is done. Only used by the runtime's own thread.
    future: Unchecked<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Handle {
    /// A runtime that nobody runs yet.
    #[allow(clippy::new_without_default, reason = "a runtime is not a value")]
    pub fn new() -> Self {
        Self(Arc::new(Runtime {
            state: Mutex::new(State {
                tasks: Vec::new(),
                ready: VecDeque::new(),
                phase: Phase::Running,
                is_idle: false,
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
            .expect("there is no runtime in this thread")
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

    /// Blocks this thread until `future` is done, which is polled at first and when it is woken.
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
        self.enter(|| {
            let mut has_yielded = false;
            loop {
                match self.next(&mut has_yielded) {
                    Next::Poll(task) => task.poll(),
                    Next::Yield => loom::thread::yield_now(),
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
    }

    fn next(&self, has_yielded: &mut bool) -> Next {
        let mut state = self.0.state.lock().unwrap();
        loop {
            if state.phase == Phase::ShutDown {
                state.ready.clear();
                return Next::End(std::mem::take(&mut state.tasks));
            }
            if let Some(task) = state.ready.pop_front() {
                *has_yielded = false;
                return Next::Poll(task);
            }
            let mut timers = self.timers();
            if let Some(first) = timers.first() {
                // The others may run on before the time passes, for as long as the checker likes.
                if !std::mem::replace(has_yielded, true) {
                    return Next::Yield;
                }
                *has_yielded = false;
                if let Some((at, waker)) = timers.armed.remove(&first) {
                    return Next::Fire(at, waker);
                }
            }
            drop(timers);
            if state.phase == Phase::Finishing {
                assert_eq!(state.tasks.len(), 0, "tasks that nothing will ever wake");
                return Next::End(Vec::new());
            }
            state.is_idle = true;
            state = self.0.changed.wait(state).unwrap();
            state.is_idle = false;
        }
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
        if state.is_idle {
            self.0.changed.notify_one();
        }
        result
    }

    fn timers(&self) -> std::sync::MutexGuard<'_, Timers> {
        self.0.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a runtime does next.
enum Next {
    Poll(Arc<Task>),
    Yield,
    Fire(Instant, Waker),
    End(Vec<Arc<Task>>),
}

impl Timers {
    fn first(&self) -> Option<u64> {
        let by_time = |(id, (at, _)): (&u64, &(Instant, Waker))| (*at, *id);
        self.armed.iter().map(by_time).min().map(|(_, id)| id)
    }
}

impl Task {
    fn take(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        self.future
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn poll(self: Arc<Self>) {
        let Some(mut future) = self.take() else {
            return;
        };
        let waker = Waker::from(Arc::clone(&self));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                *self.future.lock().unwrap_or_else(PoisonError::into_inner) = Some(future);
            }
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
        self.runtime.timers().armed.insert(self.id, (at, waker));
    }

    pub(super) fn disarm(&self) {
        self.runtime.timers().armed.remove(&self.id);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// Lets a thread sleep until it is woken.
#[derive(Default)]
struct Parker {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Parker {
    fn park(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !std::mem::take(&mut *is_woken) {
            is_woken = self.woken.wait(is_woken).unwrap();
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.woken.notify_one();
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
