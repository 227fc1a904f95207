//! One call from JavaScript: its arguments, its answer, and the guard that stops panics at the border.
//!
//! Every native function is a [`Body`] that is entered through [`enter`], so none can be without the guard, and none
//! but this module touches a raw pointer. Strings are read as UTF-16, which is exact, and narrowed to ASCII where
//! they can be; a lone surrogate becomes U+FFFD, as everywhere else where Node turns text into bytes.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::fmt::Display;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::{Arc, Once};

use napi_sys as sys;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::{self, Rejection, Teller};
use crate::gate::GateHandle;
use crate::host;
use crate::key_store::StoreHandle;
use crate::rate_limiter::LimiterHandle;
use crate::runtime;
use crate::team_manager::TeamsHandle;
use crate::usage_meter::MeterHandle;

/// What a native function does.
pub(crate) type Body = fn(&Call<'_>) -> Value;

/// A JavaScript value on its way out. `undefined` unless something was made.
#[derive(Clone, Copy)]
pub(crate) struct Value(sys::napi_value);

/// `undefined`.
pub(crate) const UNDEFINED: Value = Value(null_mut());

/// Places in the numbers that both sides share. The shell has the same list.
pub(crate) mod slot {
    /// What kind of answer this is; each function says.
    pub(crate) const KIND: usize = 0;
    /// Credits taken, or another first number.
    pub(crate) const FIRST: usize = 1;
    /// The balance, or another second number.
    pub(crate) const SECOND: usize = 2;
    /// In: the script's time.
    pub(crate) const NOW: usize = 3;
    /// In: how many bytes the arguments print as; below 0 for a call without.
    pub(crate) const BYTES: usize = 4;
    /// Another third number.
    pub(crate) const THIRD: usize = 5;
    /// Not 0 when the answer is the message of an error, and of which kind.
    pub(crate) const FAILURE: usize = 6;
    /// 1 when the answer is JSON text rather than the value itself.
    pub(crate) const JSON: usize = 7;
    /// 1 when the store has something to print.
    pub(crate) const NOTICES: usize = 8;
    /// In: the channel of the shell that calls.
    pub(crate) const CHANNEL: usize = 9;
    /// In: the target that the end of a promise is told to.
    pub(crate) const TICKET: usize = 10;
    /// From here on: one number a call of a batch, or the numbers of a quota.
    pub(crate) const LINES: usize = 11;
}

/// Calls of a batch that pass as arguments and through the shared numbers; longer ones bring an array.
pub(crate) const LINES_MAX: usize = 128;

/// How many numbers are shared.
const SHARED: usize = slot::LINES + LINES_MAX;

/// Arguments of an ordinary function.
const FEW: usize = 6;
/// Arguments of a batch: key, address, tools.
const MANY: usize = 2 + LINES_MAX;

/// Which error the shell is to throw.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    /// `RangeError`.
    Range = 1,
    /// `Error`.
    Other = 2,
    /// `TypeError`.
    Type = 3,
}

/// What JavaScript holds and hands back with each call.
pub(crate) enum Held {
    Store(Arc<StoreHandle>),
    Gate(Arc<GateHandle>),
    Limiter(LimiterHandle),
    Meter(MeterHandle),
    Teams(TeamsHandle),
    Other(Box<dyn Any>),
}

/// A function that was given to JavaScript: what it does, and what it is bound to.
struct Entry {
    body: Body,
    shared: *mut f64,
    gate: Option<Arc<GateHandle>>,
}

/// One call.
pub(crate) struct Call<'a> {
    env: sys::napi_env,
    arguments: &'a [sys::napi_value],
    entry: &'a Entry,
}

/// The border: reads the arguments, runs the body, and turns a panic into an exception.
unsafe extern "C" fn enter<const ARGUMENTS: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    guard(env, || {
        let mut arguments = [const { MaybeUninit::<sys::napi_value>::uninit() }; ARGUMENTS];
        let mut count = ARGUMENTS;
        let mut data: *mut c_void = null_mut();
        // SAFETY: the array has room for `count` values; `data` is what `Call::function` gave.
        let status = unsafe {
            sys::napi_get_cb_info(env, info, &mut count, arguments.as_mut_ptr().cast(), null_mut(), &mut data)
        };
        if status != sys::Status::napi_ok {
            return null_mut();
        }
        // SAFETY: Node-API fills all places of the array, those without an argument with `undefined`; an entry lives
        // as long as its function.
        let (arguments, entry) = unsafe {
            let given = std::slice::from_raw_parts(arguments.as_ptr().cast(), count.min(ARGUMENTS));
            (given, &*data.cast::<Entry>())
        };
        let call = Call { env, arguments, entry };
        host::set_now(call.get(slot::NOW));
        match catch_unwind(AssertUnwindSafe(|| (entry.body)(&call))) {
            Ok(value) => value.0,
            Err(panic) if panic.is::<TooDeep>() => call.fail(Failure::Range, TooDeep).0,
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// A value of the script is nested more deeply than it is read. Nothing has been done.
#[derive(Debug, thiserror::Error)]
#[error("an argument is nested more than {} levels deep", LEVELS_MAX)]
struct TooDeep;

/// Levels of JSON that serde_json reads.
const LEVELS_MAX: usize = 127;

/// Runs what must not unwind into Node.
fn guard(env: sys::napi_env, body: impl FnOnce() -> sys::napi_value) -> sys::napi_value {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let message = panic_text(&*panic);
        // SAFETY: both texts end in a zero byte.
        unsafe {
            sys::napi_throw_error(env, c"ERR_PAYGATE_PANIC".as_ptr(), message.as_ptr().cast());
        }
        null_mut()
    })
}

thread_local! {
    /// Where the latest panic on a script's thread was.
    static PANICKED_AT: Cell<Option<String>> = const { Cell::new(None) };
}

/// Keeps the place of a panic for the exception, instead of writing to the script's standard error. Panics on other
/// threads are reported as ever.
fn keep_place_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if host::is_script_thread() {
            PANICKED_AT.set(panic.location().map(ToString::to_string));
        } else {
            report(panic);
        }
    }));
}

#[cold]
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let place = PANICKED_AT.take().unwrap_or_default();
    format!("{} ({place})\0", panic_message(panic).replace('\0', " "))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("internal error: {}", text.unwrap_or("unknown"))
}

/// Frees what JavaScript held, when it is collected.
unsafe extern "C" fn free<T>(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `data` came from `Box::into_raw` of a `T`, and finalizers run once.
    let owned = unsafe { Box::from_raw(data.cast::<T>()) };
    // A panic in a `drop` would end the process; what is left of the value leaks instead.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
}

impl Call<'_> {
    // ── Shared numbers ───────────────────────────────────────────────────────

    /// A shared number.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> f64 {
        assert!(at < SHARED);
        // SAFETY: the array is as long, and only this thread uses it.
        unsafe { *self.entry.shared.add(at) }
    }

    /// Sets a shared number.
    #[inline]
    pub(crate) fn set(&self, at: usize, number: f64) {
        assert!(at < SHARED);
        // SAFETY: as for `get`.
        unsafe { *self.entry.shared.add(at) = number }
    }

    /// Sets a shared number to 1 or 0.
    #[inline]
    pub(crate) fn set_flag(&self, at: usize, flag: bool) {
        self.set(at, f64::from(u8::from(flag)));
    }

    // ── Arguments ────────────────────────────────────────────────────────────

    /// The number of arguments.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.arguments.len()
    }

    /// A text argument; `None` when it is absent or no text.
    pub(crate) fn text(&self, at: usize) -> Option<String> {
        let arena = Arena::<1>::new();
        arena.read(self, at).map(str::to_owned)
    }

    /// A text argument that the shell always gives.
    pub(crate) fn given(&self, at: usize) -> String {
        self.text(at).expect("the shell passes texts here")
    }

    /// A JSON argument; `None` when it is absent.
    pub(crate) fn json<T: DeserializeOwned>(&self, at: usize) -> Option<T> {
        let text = self.text(at)?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| {
            // The one thing that the shape of a text does not rule out.
            if error.is_syntax() && error.to_string().starts_with("recursion limit exceeded") {
                resume_unwind(Box::new(TooDeep));
            }
            panic!("the shell passes what `JSON.stringify` made of known shapes: {error}")
        }))
    }

    /// A number argument; NaN when it is absent or no number.
    #[inline]
    pub(crate) fn number(&self, at: usize) -> f64 {
        let mut number = f64::NAN;
        if let Some(value) = self.arguments.get(at) {
            // SAFETY: the value belongs to this call. A value of another type leaves the number as it is.
            unsafe { sys::napi_get_value_double(self.env, *value, &mut number) };
        }
        number
    }

    /// A number argument that counts places.
    #[inline]
    pub(crate) fn index(&self, at: usize) -> usize {
        let mut index = 0_u32;
        if let Some(value) = self.arguments.get(at) {
            // SAFETY: the value belongs to this call. A value of another type leaves the number as it is.
            unsafe { sys::napi_get_value_uint32(self.env, *value, &mut index) };
        }
        index as usize
    }

    /// Runs something over the numbers of a `Float64Array` argument.
    pub(crate) fn with_numbers<T>(&self, at: usize, act: impl FnOnce(&mut [f64]) -> T) -> Option<T> {
        let value = *self.arguments.get(at)?;
        let (mut kind, mut length, mut data) = (0, 0, null_mut());
        // SAFETY: the value belongs to this call; the pointers are to locals or null where nothing is wanted.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                value,
                &mut kind,
                &mut length,
                &mut data,
                null_mut(),
                null_mut(),
            )
        };
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::float64_array {
            return None;
        }
        if length == 0 {
            return Some(act(&mut []));
        }
        // SAFETY: Node says where the numbers are and how many; nothing else runs on this thread meanwhile.
        Some(act(unsafe { std::slice::from_raw_parts_mut(data.cast::<f64>(), length) }))
    }

    fn held(&self) -> &Held {
        self.held_at(0).expect("the shell passes a handle first")
    }

    /// The handle that is an argument.
    fn held_at(&self, at: usize) -> Option<&Held> {
        let value = self.arguments.get(at)?;
        let mut data: *mut c_void = null_mut();
        // SAFETY: the value belongs to this call; only `Call::hold` makes externals that the shell has.
        unsafe {
            sys::napi_get_value_external(self.env, *value, &mut data);
            data.cast::<Held>().as_ref()
        }
    }

    /// The key store that is the first argument.
    #[inline]
    pub(crate) fn store(&self) -> &Arc<StoreHandle> {
        match self.held() {
            Held::Store(store) => store,
            _ => panic!("the shell passes a store first"),
        }
    }

    /// The gate that the function is bound to, or that is the first argument.
    #[inline]
    pub(crate) fn gate(&self) -> &Arc<GateHandle> {
        if let Some(gate) = &self.entry.gate {
            return gate;
        }
        match self.held() {
            Held::Gate(gate) => gate,
            _ => panic!("the shell passes a gate first"),
        }
    }

    /// The limiter that is the first argument.
    pub(crate) fn limiter(&self) -> &LimiterHandle {
        match self.held() {
            Held::Limiter(limiter) => limiter,
            _ => panic!("the shell passes a limiter first"),
        }
    }

    /// The meter that is the first argument.
    pub(crate) fn meter(&self) -> &MeterHandle {
        match self.held() {
            Held::Meter(meter) => meter,
            _ => panic!("the shell passes a meter first"),
        }
    }

    /// The teams that are the first argument.
    pub(crate) fn teams(&self) -> &TeamsHandle {
        match self.held() {
            Held::Teams(teams) => teams,
            _ => panic!("the shell passes teams first"),
        }
    }

    /// What [`Self::hold_any`] gave to the shell, which passes it first.
    pub(crate) fn the<T: 'static>(&self) -> &T {
        let Held::Other(held) = self.held() else { panic!("the shell passes another handle first") };
        held.downcast_ref().expect("the shell passes the handle that belongs to the function")
    }

    /// As [`Self::the`], of another argument; `None` when it is no handle.
    pub(crate) fn the_other<T: 'static>(&self, at: usize) -> Option<&T> {
        let Some(Held::Other(held)) = self.held_at(at) else { return None };
        held.downcast_ref()
    }

    /// The number of the shell's channel.
    pub(crate) fn channel(&self) -> u32 {
        whole(self.get(slot::CHANNEL))
    }

    /// Tells a target of the script something later.
    pub(crate) fn teller(&self, target: usize) -> Teller {
        channel::teller(self.channel(), u32::try_from(target).unwrap_or_default())
    }

    // ── Answers ──────────────────────────────────────────────────────────────

    /// Does some work while the script goes on, and ends the promise that the shell has made. A panic rejects it.
    pub(crate) fn promise<F>(&self, work: F) -> Value
    where
        F: Future<Output = Result<Option<String>, Rejection>> + Send + 'static,
    {
        let teller = channel::teller(self.channel(), whole(self.get(slot::TICKET)));
        let work = runtime::spawn(work);
        runtime::spawn(async move {
            teller.end(work.await.unwrap_or_else(|stopped| Err(Rejection::new(stopped_text(stopped)))));
        });
        UNDEFINED
    }

    fn made(&self, make: impl FnOnce(&mut sys::napi_value) -> sys::napi_status) -> Value {
        let mut value = null_mut();
        make(&mut value);
        Value(value)
    }

    /// A text.
    #[inline]
    pub(crate) fn string(&self, text: &str) -> Value {
        let (data, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: the pointer and the length are those of the text; ASCII is Latin-1.
        self.made(|value| unsafe {
            if text.is_ascii() {
                sys::napi_create_string_latin1(self.env, data, length, value)
            } else {
                sys::napi_create_string_utf8(self.env, data, length, value)
            }
        })
    }

    /// A text, or `undefined`.
    pub(crate) fn optional(&self, text: Option<impl AsRef<str>>) -> Value {
        text.map_or(UNDEFINED, |text| self.string(text.as_ref()))
    }

    /// A value as JSON text.
    pub(crate) fn json_text(&self, value: &impl Serialize) -> Value {
        self.string(&serde_json::to_string(value).expect("answers are plain JSON"))
    }

    /// A number.
    #[inline]
    pub(crate) fn double(&self, number: f64) -> Value {
        // SAFETY: makes a value of this call.
        self.made(|value| unsafe { sys::napi_create_double(self.env, number, value) })
    }

    /// A place, or −1.
    pub(crate) fn place(&self, place: Option<usize>) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "places are far below 2^53")]
        self.double(place.map_or(-1.0, |place| place as f64))
    }

    /// `true` or `false`.
    #[inline]
    pub(crate) fn boolean(&self, truth: bool) -> Value {
        // SAFETY: makes a value of this call.
        self.made(|value| unsafe { sys::napi_get_boolean(self.env, truth, value) })
    }

    /// `null`.
    pub(crate) fn null(&self) -> Value {
        // SAFETY: makes a value of this call.
        self.made(|value| unsafe { sys::napi_get_null(self.env, value) })
    }

    /// Tells the shell to throw.
    #[cold]
    pub(crate) fn fail(&self, failure: Failure, message: impl Display) -> Value {
        self.set(slot::FAILURE, f64::from(failure as u8));
        self.string(&message.to_string())
    }

    /// Something for JavaScript to hold.
    pub(crate) fn hold(&self, held: Held) -> Value {
        let data = Box::into_raw(Box::new(held));
        // SAFETY: `free` takes back what `Box::into_raw` gave.
        self.made(|value| unsafe {
            sys::napi_create_external(self.env, data.cast(), Some(free::<Held>), null_mut(), value)
        })
    }

    /// Something of any type for JavaScript to hold.
    pub(crate) fn hold_any<T: 'static>(&self, held: T) -> Value {
        self.hold(Held::Other(Box::new(held)))
    }

    /// A function that is bound to a gate and takes a few arguments.
    pub(crate) fn bound(&self, body: Body, gate: Arc<GateHandle>) -> Value {
        let entry = Entry { body, shared: self.entry.shared, gate: Some(gate) };
        Value(function::<FEW>(self.env, entry).unwrap_or(null_mut()))
    }

    /// As [`Self::bound`], for a function that takes the tools of a batch.
    pub(crate) fn bound_batch(&self, body: Body, gate: Arc<GateHandle>) -> Value {
        let entry = Entry { body, shared: self.entry.shared, gate: Some(gate) };
        Value(function::<MANY>(self.env, entry).unwrap_or(null_mut()))
    }
}

/// A number of a channel or target; 0 for what is none.
fn whole(number: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the shell counts from 1")]
    let whole = number as u32;
    whole
}

#[cold]
fn stopped_text(stopped: tokio::task::JoinError) -> String {
    match stopped.try_into_panic() {
        Ok(panic) => panic_message(&*panic),
        Err(_) => "the work was given up".to_owned(),
    }
}

/// A function of the script that any thread may have called, on the script's thread.
pub(crate) struct Post(Mutex<Option<Line>>);

/// The line to the script. Node frees it when the environment ends, after it has run the finalizer, which cuts it.
struct Line(sys::napi_threadsafe_function);

// SAFETY: Node's functions for it may be called from any thread, and are so while it is there.
unsafe impl Send for Line {}

/// One thing told: target, kind, text.
struct Told {
    target: u32,
    kind: u8,
    text: Option<String>,
}

/// What the finalizer of a line needs.
struct End {
    post: Arc<Post>,
    closed: Box<dyn FnOnce() + Send>,
}

impl Post {
    /// Opens a line to the function that is the first argument. `closed` runs when the environment ends.
    pub(crate) fn open(call: &Call<'_>, closed: impl FnOnce() + Send + 'static) -> Option<Arc<Self>> {
        let callback = *call.arguments.first()?;
        let post = Arc::new(Self(Mutex::new(None)));
        let end: *mut c_void =
            Box::into_raw(Box::new(End { post: post.clone(), closed: Box::new(closed) })).cast();
        let mut line = null_mut();
        // SAFETY: the callback and the name belong to this call; `finish` takes back what `Box::into_raw` gave.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                call.env,
                callback,
                null_mut(),
                call.string("paygate-mcp").0,
                0,
                1,
                end,
                Some(finish),
                null_mut(),
                Some(deliver),
                &mut line,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: without a line the finalizer does not run.
            drop(unsafe { Box::from_raw(end.cast::<End>()) });
            return None;
        }
        // SAFETY: this is the script's thread.
        unsafe { sys::napi_unref_threadsafe_function(call.env, line) };
        *post.0.lock() = Some(Line(line));
        Some(post)
    }

    /// Tells something. False when the environment has ended.
    pub(crate) fn send(&self, target: u32, kind: u8, text: Option<String>) -> bool {
        let mut line = self.0.lock();
        let Some(Line(open)) = *line else { return false };
        let told = Box::into_raw(Box::new(Told { target, kind, text }));
        // SAFETY: the line is there while it is not cut, and cutting it waits for the lock. `deliver` takes back what
        // `Box::into_raw` gave.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                open,
                told.cast(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        if status == sys::Status::napi_ok {
            return true;
        }
        // SAFETY: what was not accepted is not delivered.
        drop(unsafe { Box::from_raw(told) });
        *line = None;
        false
    }

    /// Sets whether the line keeps the process alive.
    pub(crate) fn hold(&self, call: &Call<'_>, hold: bool) {
        let line = self.0.lock();
        let Some(Line(open)) = *line else { return };
        // SAFETY: this is the script's thread, and the line is there.
        unsafe {
            if hold {
                sys::napi_ref_threadsafe_function(call.env, open);
            } else {
                sys::napi_unref_threadsafe_function(call.env, open);
            }
        }
    }
}

/// Cuts a line whose environment ends.
unsafe extern "C" fn finish(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `data` came from `Box::into_raw` of an `End`, and finalizers run once.
    let end = unsafe { Box::from_raw(data.cast::<End>()) };
    // A panic here would end the process.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        *end.post.0.lock() = None;
        (end.closed)();
    }));
}

/// Calls the script's function with what was told. Without an environment it is dropped.
unsafe extern "C" fn deliver(
    env: sys::napi_env,
    callback: sys::napi_value,
    _: *mut c_void,
    data: *mut c_void,
) {
    // SAFETY: `data` came from `Box::into_raw` of a `Told`, and is delivered once.
    let told = unsafe { Box::from_raw(data.cast::<Told>()) };
    if env.is_null() || callback.is_null() {
        return;
    }
    guard(env, || {
        let (mut this, mut target, mut kind, mut text) = (null_mut(), null_mut(), null_mut(), null_mut());
        // SAFETY: makes values of this scope, and calls the function with them. The shell's function never throws.
        unsafe {
            sys::napi_get_undefined(env, &mut this);
            sys::napi_create_uint32(env, told.target, &mut target);
            sys::napi_create_uint32(env, told.kind.into(), &mut kind);
            match &told.text {
                Some(told) => {
                    let (data, length) = (told.as_ptr().cast(), told.len().cast_signed());
                    sys::napi_create_string_utf8(env, data, length, &mut text);
                }
                None => text = this,
            }
            let given = [target, kind, text];
            sys::napi_call_function(env, this, callback, given.len(), given.as_ptr(), null_mut());
        }
        null_mut()
    });
}

/// Makes a function of an entry, which is freed with it.
fn function<const ARGUMENTS: usize>(env: sys::napi_env, entry: Entry) -> Option<sys::napi_value> {
    let data: *mut c_void = Box::into_raw(Box::new(entry)).cast();
    let mut value = null_mut();
    // SAFETY: `free` takes back what `Box::into_raw` gave; the finalizer belongs to the function just made.
    unsafe {
        let made = sys::napi_create_function(env, null_mut(), 0, Some(enter::<ARGUMENTS>), data, &mut value);
        if made != sys::Status::napi_ok {
            return None;
        }
        sys::napi_add_finalizer(env, value, data, Some(free::<Entry>), null_mut(), null_mut());
    }
    Some(value)
}

/// Room on the stack for the texts of a call. Texts that do not fit, or are not ASCII, go to the heap.
pub(crate) struct Arena<const BYTES: usize> {
    units: UnsafeCell<[MaybeUninit<u16>; BYTES]>,
    bytes: UnsafeCell<[MaybeUninit<u8>; BYTES]>,
    used: Cell<usize>,
    heap: UnsafeCell<Vec<Box<str>>>,
}

impl<const BYTES: usize> Arena<BYTES> {
    /// An empty arena. Make it where it is used: moving it would copy it.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            units: UnsafeCell::new([const { MaybeUninit::uninit() }; BYTES]),
            bytes: UnsafeCell::new([const { MaybeUninit::uninit() }; BYTES]),
            used: Cell::new(0),
            heap: UnsafeCell::new(Vec::new()),
        }
    }

    /// The text of an argument; `None` when it is absent or no text.
    #[inline(always)]
    pub(crate) fn read(&self, call: &Call<'_>, at: usize) -> Option<&str> {
        let value = *call.arguments.get(at)?;
        let (used, mut length) = (self.used.get(), 0);
        let room = BYTES - used;
        // SAFETY: Node writes at most `room` units, the last a zero, into a buffer that holds `BYTES`. The units are
        // only used here. The bytes from `used` on have been lent to nobody.
        unsafe {
            let units = self.units.get().cast::<u16>();
            if sys::napi_get_value_string_utf16(call.env, value, units, room, &mut length)
                != sys::Status::napi_ok
            {
                return None;
            }
            // A full buffer may have cut the text.
            if length + 1 >= room {
                return self.read_long(call, value);
            }
            let units = std::slice::from_raw_parts(units, length);
            let bytes = std::slice::from_raw_parts_mut(self.bytes.get().cast::<u8>().add(used), length);
            let mut seen = 0;
            for (unit, byte) in units.iter().zip(bytes.iter_mut()) {
                seen |= *unit;
                *byte = (*unit & 0x7F) as u8;
            }
            if seen >= 0x80 {
                return Some(self.keep(String::from_utf16_lossy(units)));
            }
            self.used.set(used + length);
            Some(std::str::from_utf8_unchecked(bytes))
        }
    }

    #[cold]
    #[inline(never)]
    fn read_long(&self, call: &Call<'_>, value: sys::napi_value) -> Option<&str> {
        let mut length = 0;
        // SAFETY: without a buffer Node tells the length; then the buffer holds that and the zero after it.
        unsafe {
            sys::napi_get_value_string_utf16(call.env, value, null_mut(), 0, &mut length);
            let mut units = vec![0_u16; length + 1];
            let read = sys::napi_get_value_string_utf16(
                call.env,
                value,
                units.as_mut_ptr(),
                length + 1,
                &mut length,
            );
            if read != sys::Status::napi_ok {
                return None;
            }
            Some(self.keep(String::from_utf16_lossy(&units[..length])))
        }
    }

    fn keep(&self, text: String) -> &str {
        // SAFETY: texts are only added, and a boxed text stays where it is while the list grows.
        unsafe {
            let heap = &mut *self.heap.get();
            heap.push(text.into_boxed_str());
            let last: *const str = &**heap.last().expect("just added");
            &*last
        }
    }
}

/// Gives Node the table of functions and the shared numbers.
///
/// # Safety
/// Called by Node when it loads the addon, once for each environment (the main thread and each worker).
#[unsafe(no_mangle)]
unsafe extern "C" fn napi_register_module_v1(
    env: sys::napi_env,
    exports: sys::napi_value,
) -> sys::napi_value {
    guard(env, || {
        static LOOK_UP: Once = Once::new();
        // SAFETY: one thread looks Node's functions up before any other call of the interface. The library they are
        // in is the program itself, and is never let go.
        LOOK_UP.call_once(|| {
            std::mem::forget(unsafe { sys::setup() });
            keep_place_of_panics();
        });
        register(env, exports).unwrap_or(null_mut())
    })
}

fn register(env: sys::napi_env, exports: sys::napi_value) -> Option<sys::napi_value> {
    let checked = |status| (status == sys::Status::napi_ok).then_some(());
    let (mut data, mut buffer, mut shared) = (null_mut(), null_mut(), null_mut());
    // SAFETY: plain calls of the interface with pointers to locals. Node keeps the array that lies under the shared
    // numbers for as long as the reference, which is never given up.
    unsafe {
        checked(sys::napi_create_arraybuffer(env, SHARED * size_of::<f64>(), &mut data, &mut buffer))?;
        checked(sys::napi_create_typedarray(
            env,
            sys::TypedarrayType::float64_array,
            SHARED,
            buffer,
            0,
            &mut shared,
        ))?;
        checked(sys::napi_create_reference(env, buffer, 1, &mut null_mut()))?;
        checked(sys::napi_set_named_property(env, exports, c"shared".as_ptr(), shared))?;
    }
    for (name, body) in crate::table::FUNCTIONS {
        let entry = Entry { body: *body, shared: data.cast(), gate: None };
        let function = function::<FEW>(env, entry)?;
        // SAFETY: the name ends in a zero byte.
        checked(unsafe { sys::napi_set_named_property(env, exports, name.as_ptr(), function) })?;
    }
    Some(exports)
}
