//! Messages by the libzmq that pyzmq has loaded: its functions, found by name, and sockets that pyzmq has made.
//!
//! So nothing is built or linked, and everything rare (contexts, options, keys, admission) stays with pyzmq. All of the
//! `unsafe` is here. It stands on three things: the functions have the types of zmq.h, which has kept them since 4.1;
//! whoever gives a socket's address keeps the socket open until its [`Socket`] is gone; and one thread at a time has a
//! [`Socket`], as it is not `Sync`.
//!
//! The descriptor of a socket is readable when its *state* may have changed, and any call on the socket may take that
//! signal away. So after whatever was done with a socket, [`Socket::readable`] says whether there is something. Nor is
//! there a signal before somebody has looked in vain for the first time.

use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;

const MORE: c_int = 1;
const SOURCE_DESCRIPTOR: c_int = 2;
const OPTION_DESCRIPTOR: c_int = 14;
const OPTION_EVENTS: c_int = 15;
const POLLIN: c_int = 1;
const DONT_WAIT: c_int = 1;
const SEND_MORE: c_int = 2;

/// `zmq_msg_t`: 64 bytes, aligned as a pointer.
#[repr(C, align(8))]
struct RawMessage([u8; 64]);

macro_rules! functions {
    ($($field:ident = $name:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        /// Functions of libzmq, for as long as the process lives.
        #[derive(Clone, Copy)]
        pub struct Library {
            $($field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Library {
            fn of(handle: NonNull<c_void>) -> Result<Library, Unusable> {
                Ok(Library {
                    $($field: {
                        let found = find(handle, $name).ok_or(Unusable::Lacks($name))?;
                        // SAFETY: libzmq's function of that name has that type.
                        unsafe {
                            std::mem::transmute::<
                                NonNull<c_void>,
                                unsafe extern "C" fn($($argument),*) -> $result,
                            >(found)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    message_init = c"zmq_msg_init": fn(*mut RawMessage) -> c_int;
    message_receive = c"zmq_msg_recv": fn(*mut RawMessage, *mut c_void, c_int) -> c_int;
    message_close = c"zmq_msg_close": fn(*mut RawMessage) -> c_int;
    message_data = c"zmq_msg_data": fn(*mut RawMessage) -> *mut c_void;
    message_size = c"zmq_msg_size": fn(*const RawMessage) -> usize;
    message_property = c"zmq_msg_get": fn(*const RawMessage, c_int) -> c_int;
    message_text = c"zmq_msg_gets": fn(*const RawMessage, *const c_char) -> *const c_char;
    send = c"zmq_send": fn(*mut c_void, *const c_void, usize, c_int) -> c_int;
    option = c"zmq_getsockopt": fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int;
    error = c"zmq_errno": fn() -> c_int;
}

/// Why a library is of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it is not loaded")]
    NotLoaded,
    #[error("it has no function {}", .0.to_string_lossy())]
    Lacks(&'static CStr),
}

fn find(handle: NonNull<c_void>, name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: a handle that `dlopen` gave and nobody closes, and a C string.
    NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) })
}

impl Library {
    /// `module`: the extension module of pyzmq that this process has loaded. It has libzmq in it, or needs it: what is
    /// looked for is found in either.
    pub fn loaded_by(module: &Path) -> Result<&'static Library, Unusable> {
        static FOUND: OnceLock<Library> = OnceLock::new();
        let name = CString::new(module.as_os_str().as_encoded_bytes());
        let name = name.map_err(|_| Unusable::NotLoaded)?;
        // SAFETY: a C string. Nothing is loaded, so no foreign code runs. The handle is never closed, and keeps the
        // library where it is.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
        let library = Library::of(NonNull::new(handle).ok_or(Unusable::NotLoaded)?)?;
        Ok(FOUND.get_or_init(|| library))
    }

    fn last_error(&self) -> io::Error {
        // SAFETY: takes nothing, and says what the last call of this thread ended with.
        io::Error::from_raw_os_error(unsafe { (self.error)() })
    }
}

/// What was received last; empty at first.
pub struct Message {
    library: &'static Library,
    /// In a place of its own: libzmq does not say that these may be moved.
    raw: Box<RawMessage>,
}

// SAFETY: a message belongs to no thread, and what several share of its content is counted atomically.
unsafe impl Send for Message {}

impl Message {
    pub fn new(library: &'static Library) -> Message {
        let mut raw = Box::new(RawMessage([0; 64]));
        // SAFETY: 64 bytes to make an empty message in.
        unsafe { (library.message_init)(&mut *raw) };
        Message { library, raw }
    }

    pub fn library(&self) -> &'static Library {
        self.library
    }

    pub fn bytes(&self) -> &[u8] {
        let raw = std::ptr::from_ref(&*self.raw);
        // SAFETY: an initialised message, whose data stays what and where it is until somebody receives into it or drops
        // it, for which they need it mutable. `zmq_msg_data` changes nothing for all that its argument is mutable.
        unsafe {
            let size = (self.library.message_size)(raw);
            match NonNull::new((self.library.message_data)(raw.cast_mut()).cast::<u8>()) {
                Some(data) if size > 0 => std::slice::from_raw_parts(data.as_ptr(), size),
                _ => &[],
            }
        }
    }

    /// Whether another part of the same message follows.
    pub fn more(&self) -> bool {
        // SAFETY: an initialised message.
        unsafe { (self.library.message_property)(&*self.raw, MORE) == 1 }
    }

    /// The number of the descriptor that it came by.
    pub fn source(&self) -> i32 {
        // SAFETY: an initialised message.
        unsafe { (self.library.message_property)(&*self.raw, SOURCE_DESCRIPTOR) }
    }

    /// The host that it came from; empty where libzmq does not say.
    pub fn peer_address(&self) -> String {
        // SAFETY: an initialised message and a C string; the answer, if any, is a C string that lives as the message.
        let text = unsafe { (self.library.message_text)(&*self.raw, c"Peer-Address".as_ptr()) };
        match text.is_null() {
            true => String::new(),
            // SAFETY: see above.
            false => unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned(),
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used again.
        unsafe { (self.library.message_close)(&mut *self.raw) };
    }
}

/// A socket of pyzmq's. Nothing here ever waits.
pub struct Socket {
    library: &'static Library,
    raw: NonNull<c_void>,
}

// SAFETY: a socket may pass from thread to thread, with a lock or the like in between; only not be shared.
unsafe impl Send for Socket {}

impl Socket {
    /// # Safety
    /// `address` is that of an open socket of this library, which is closed only after this is dropped, and which nobody
    /// else uses while a call here is under way.
    pub unsafe fn new(library: &'static Library, address: usize) -> Option<Socket> {
        let raw = NonNull::new(address as *mut c_void)?;
        Some(Socket { library, raw })
    }

    pub fn library(&self) -> &'static Library {
        self.library
    }

    /// One part of a message; `more`: another follows. The bytes are copied.
    pub fn send(&self, bytes: &[u8], more: bool) -> io::Result<()> {
        let flags = DONT_WAIT | if more { SEND_MORE } else { 0 };
        self.again(|| {
            // SAFETY: an open socket, and bytes that are copied before the call returns.
            unsafe {
                (self.library.send)(self.raw.as_ptr(), bytes.as_ptr().cast(), bytes.len(), flags)
            }
        })
    }

    /// The next part; false when there is none, and `into` is as it was.
    pub fn receive(&self, into: &mut Message) -> io::Result<bool> {
        let received = self.again(|| {
            // SAFETY: an initialised message, whose content is let go of, and an open socket.
            unsafe { (self.library.message_receive)(&mut *into.raw, self.raw.as_ptr(), DONT_WAIT) }
        });
        match received {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a message. Half the cost of an attempt in vain.
    pub fn readable(&self) -> io::Result<bool> {
        Ok(self.option(OPTION_EVENTS)? & POLLIN != 0)
    }

    /// For a poll; see above for what it says.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        let number = self.option(OPTION_DESCRIPTOR)?;
        // SAFETY: open as long as the socket is.
        Ok(unsafe { BorrowedFd::borrow_raw(number) })
    }

    fn option(&self, name: c_int) -> io::Result<c_int> {
        let mut value: c_int = 0;
        let mut size = size_of::<c_int>();
        self.again(|| {
            // SAFETY: both options are an `int`, for which there is room.
            unsafe {
                (self.library.option)(
                    self.raw.as_ptr(),
                    name,
                    (&raw mut value).cast(),
                    &raw mut size,
                )
            }
        })?;
        Ok(value)
    }

    fn again(&self, mut call: impl FnMut() -> c_int) -> io::Result<()> {
        loop {
            if call() >= 0 {
                return Ok(());
            }
            let error = self.library.last_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// Another number for what libzmq has open under this one; an error when that is nothing any more.
pub fn second_descriptor(number: i32) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: only asked for a second number. It may have been closed, which is an error, or be another's by now, which
    // whoever asks has to look for.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_without_the_functions_is_refused_by_the_first_that_it_lacks() {
        let found = Library::loaded_by(Path::new("libc.so.6"));
        assert_eq!(found.err(), Some(Unusable::Lacks(c"zmq_msg_init")));
    }

    #[test]
    fn library_that_nobody_has_loaded_is_not_loaded_here() {
        let found = Library::loaded_by(Path::new("libutil.so.1.of.nobody"));
        assert_eq!(found.err(), Some(Unusable::NotLoaded));
    }
}
