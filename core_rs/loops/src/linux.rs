//! What only Linux has, and all of this crate's `unsafe`: shared pages, futexes, pidfds, process groups, `/proc`.
//!
//! A port to another system begins and ends here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec};

/// Bytes of a shared page.
pub const PAGE: usize = 4096;
const WORDS: usize = PAGE / 8;
/// How long the end of a killed process is waited for.
const DEATH_PATIENCE: Duration = Duration::from_secs(5);

/// `CLOCK_MONOTONIC` in microseconds: the same clock in all processes of the machine, and Python's `time.monotonic`.
pub fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// A mapped page that processes share.
pub struct Page(NonNull<AtomicU64>);

// SAFETY: the page is only reached through atomics, and stays mapped until the drop.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Maps the first [`PAGE`] bytes of `file`, which must have them: a shorter file would be a SIGBUS at the first touch.
    pub fn map(file: BorrowedFd<'_>) -> io::Result<Page> {
        if rustix::fs::fstat(file)?.st_size < PAGE as i64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a shared line is a file of 4096 bytes",
            ));
        }
        // Refused where the file was made without sealing; then only the peer's good will keeps it long enough.
        let _ = rustix::fs::fcntl_add_seals(file, SealFlags::SHRINK);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE,
                protection,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        NonNull::new(start.cast())
            .map(Page)
            .ok_or_else(|| io::Error::other("mapped at address 0"))
    }

    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        // SAFETY: inside the page, aligned, alive as long as `self`; every process reaches it by atomics alone.
        unsafe { &*self.0.as_ptr().add(index) }
    }

    /// The low half of a word, which is what a futex can wait on.
    fn low_half(&self, index: usize) -> &AtomicU32 {
        let half = self.word(index).as_ptr().cast::<AtomicU32>();
        let low = if cfg!(target_endian = "little") {
            half
        } else {
            half.wrapping_add(1)
        };
        // SAFETY: a half of a word of the page; the kernel reads 32 bits, we the same through an atomic.
        unsafe { &*low }
    }

    /// Waits while the low half of a word is `seen`, at most `timeout`; may return early.
    pub fn wait(&self, index: usize, seen: u32, timeout: Duration) {
        let timeout = timespec(timeout);
        let _ = futex::wait(
            self.low_half(index),
            futex::Flags::empty(),
            seen,
            Some(&timeout),
        );
    }

    /// Wakes all who wait on the word, in whatever process.
    pub fn wake(&self, index: usize) {
        let _ = futex::wake(self.low_half(index), futex::Flags::empty(), i32::MAX as u32);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` and never handed out beyond the lifetime of `self`.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), PAGE) };
    }
}

/// A file of one page for [`Page::map`].
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, PAGE as u64)?;
    Ok(file)
}

/// A child process that leads a process group of its own.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    pub fn open(pid: u32) -> io::Result<Child> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "a process id is positive");
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(none)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Child {
            pid,
            pidfd,
            reaped: false,
        })
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// Readable when the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills the group. The leader keeps its number until it is reaped, so the number cannot mean another group.
    pub fn kill_group(&self) {
        if !self.reaped {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    pub fn interrupt(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::INT);
    }

    /// If the process has ended: ends what is left of its group, reaps it, and gives its exit code, or minus the
    /// number of the signal that killed it. 0 when somebody else has reaped it.
    pub fn try_reap(&mut self) -> Option<i32> {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.wait(peek) {
            Ok(None) => return None,
            // The number still belongs to the dead leader.
            Ok(Some(_)) => self.kill_group(),
            Err(_) => {}
        }
        let status = self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        self.reaped = true;
        Some(status.ok().flatten().unwrap_or(0))
    }

    /// Waits for the end of a process that was killed. It may be stuck in the kernel: then it is left to itself.
    pub fn reap_soon(&mut self) {
        let timeout = timespec(DEATH_PATIENCE);
        let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
        while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut watched, Some(&timeout)) {
        }
        self.try_reap();
    }

    fn wait(&self, options: WaitIdOptions) -> io::Result<Option<i32>> {
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd()), options)?;
        Ok(status.map(
            |status| match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => code,
                (_, Some(signal)) => -signal,
                _ => 0,
            },
        ))
    }
}

/// Nobody looks after it any more.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill_group();
            self.reap_soon();
        }
    }
}

/// Memory of a process that is in RAM, in bytes; `None` when it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whether the peer of a Unix socket is a process of our own user, or of root. The user's number in the error.
pub fn check_peer(socket: BorrowedFd<'_>) -> Result<(), String> {
    let peer = rustix::net::sockopt::socket_peercred(socket).map_err(|error| error.to_string())?;
    if peer.uid.is_root() || peer.uid == rustix::process::geteuid() {
        return Ok(());
    }
    Err(format!(
        "process {} of user {}",
        peer.pid.as_raw_nonzero(),
        peer.uid.as_raw()
    ))
}

/// A pair of which `.1` leads to somebody on this host, as [`leads_to_listener`] sees it, to whom payloads may go in
/// files: a bridge that takes them.
pub fn named_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    // The kernel draws a name that nobody has.
    rustix::net::bind(&ours, &SocketAddrUnix::new_unnamed())?;
    Ok((ours, theirs))
}

/// Whether a connected Unix socket leads to whoever listens at a path, or to a bridge that takes files. A socketpair,
/// which may be the end of a bridge that does not, has no names.
pub fn leads_to_listener(socket: BorrowedFd<'_>) -> bool {
    let peer = rustix::net::getpeername(socket).ok().flatten();
    let peer = peer.and_then(|peer| rustix::net::SocketAddrUnix::try_from(peer).ok());
    // What has no name is said to have an empty one.
    peer.is_some_and(|peer| {
        let (path, name) = (peer.path_bytes(), peer.abstract_name());
        [path, name].iter().flatten().any(|name| !name.is_empty())
    })
}

/// Wakes a poll of another thread.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Bell> {
        Ok(Bell(rustix::event::eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    pub fn ring(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub fn silence(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a [`poll`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    pub socket: bool,
    pub bell: bool,
    /// A signal came: the interpreter's handlers want to run.
    pub interrupted: bool,
}

/// Waits until `socket` is readable (writable, where `write`) or the bell rings. `None`: as long as it takes.
pub fn poll(
    socket: Option<BorrowedFd<'_>>,
    write: bool,
    bell: Option<&Bell>,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let flags = if write {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    };
    let mut watched = Vec::with_capacity(2);
    watched.extend(bell.map(|bell| PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN)));
    watched.extend(socket.map(|socket| PollFd::from_borrowed_fd(socket, flags)));
    let timeout = timeout.map(timespec);
    match rustix::event::poll(&mut watched, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => {
            return Ok(Ready {
                interrupted: true,
                ..Ready::default()
            })
        }
        Err(error) => return Err(error.into()),
    }
    let mut found = watched.iter().map(|one| !one.revents().is_empty());
    let bell = bell.is_some() && found.next().unwrap_or(false);
    Ok(Ready {
        bell,
        socket: found.next().unwrap_or(false),
        interrupted: false,
    })
}

fn timespec(duration: Duration) -> Timespec {
    let seconds = duration.as_secs().min(1 << 40) as i64;
    Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

pub fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

pub fn is_open(fd: BorrowedFd<'_>) -> bool {
    rustix::io::fcntl_getfd(fd).is_ok()
}

/// Asks the kernel to kill this process when the thread that started it ends. False: `parent` is its parent no more.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Asked after: a parent that ends before the request is not noticed by the kernel.
    Ok(rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() as u32 == parent))
}

/// Makes this process the parent of whatever its descendants leave behind.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// A random number, for names that must not meet.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    // A few bytes always come whole, once the system has started.
    while rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        != Ok(bytes.len())
    {}
    u64::from_le_bytes(bytes)
}

/// Microseconds since 1970 when [`monotonic_us`] was 0.
pub fn unix_offset_us() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    (now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000).saturating_sub(monotonic_us())
}

/// A file in memory, mapped from its first byte. Whoever maps it must know that nobody can make it shorter: the missing
/// pages would be a SIGBUS.
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: memory like any other, freed by the drop alone; writing needs a `&mut`.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn read_only(file: BorrowedFd<'_>, length: usize) -> io::Result<Mapping> {
        Self::new(file, length, ProtFlags::READ, MapFlags::SHARED)
    }

    /// Writable; what is written stays in this mapping.
    pub fn copy_on_write(file: BorrowedFd<'_>, length: usize) -> io::Result<Mapping> {
        let writable = ProtFlags::READ | ProtFlags::WRITE;
        // Most pages are never written, so none are set aside.
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        Self::new(file, length, writable, flags)
    }

    fn new(
        file: BorrowedFd<'_>,
        length: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, protection, flags, file, 0) }?;
        let start = NonNull::new(start.cast());
        let start = start.ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Mapping { start, length })
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: mapped, readable and alive as long as `self`. The file's maker, a process of our own user, writes
        // only while nobody has it; one that broke its word could as well write into our memory.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// For a writable one.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` and never handed out beyond the lifetime of `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Asks for large pages behind memory that nobody has touched yet: a tenth of the faults. Best effort.
pub fn want_large_pages(memory: &mut [std::mem::MaybeUninit<u8>]) {
    const LARGE: usize = 2 << 20;
    let start = memory.as_mut_ptr() as usize;
    let (from, to) = (
        start.next_multiple_of(LARGE),
        (start + memory.len()) & !(LARGE - 1),
    );
    if from < to {
        let advice = rustix::mm::Advice::LinuxHugepage;
        // SAFETY: inside of `memory`; the advice changes how it is backed, not what is in it.
        let _ = unsafe { rustix::mm::madvise(from as *mut _, to - from, advice) };
    }
}

/// Whether of pages that were mapped from a file without sharing what is written any was written: those are of no file.
pub fn has_own_pages(memory: &[u8]) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    const PAGE: usize = 4096;
    const ENTRY: usize = 8;
    // As in the kernel's documentation of /proc/PID/pagemap.
    const OF_A_FILE: u64 = 1 << 61;
    const SWAPPED_OR_PRESENT: u64 = 0b11 << 62;
    let map = std::fs::File::open("/proc/self/pagemap")?;
    let first = memory.as_ptr() as usize / PAGE;
    let end = (memory.as_ptr() as usize + memory.len()).div_ceil(PAGE);
    let mut entries = [0; 2048 * ENTRY];
    for page in (first..end).step_by(entries.len() / ENTRY) {
        let count = (end - page).min(entries.len() / ENTRY);
        let entries = &mut entries[..count * ENTRY];
        map.read_exact_at(entries, (page * ENTRY) as u64)?;
        let is_own = |entry: &[u8]| {
            let entry = u64::from_ne_bytes(entry.try_into().expect("8 bytes"));
            entry & SWAPPED_OR_PRESENT != 0 && entry & OF_A_FILE == 0
        };
        if entries.chunks_exact(ENTRY).any(is_own) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One `recvmsg` into the spare room of `buffer`, without waiting; how many bytes. Descriptors are appended to `files`;
/// an error when some were lost because this process may not have more.
pub fn receive_with_files(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    files: &mut std::collections::VecDeque<OwnedFd>,
) -> rustix::io::Result<usize> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags};
    let mut room =
        [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(scaler_wire::MOST_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let spare = buffer.spare_capacity_mut();
    let length = spare.len();
    // SAFETY: only handed to the kernel, which writes and does not read.
    let spare = unsafe { std::slice::from_raw_parts_mut(spare.as_mut_ptr().cast::<u8>(), length) };
    let received: RecvMsg = rustix::net::recvmsg(
        socket,
        &mut [io::IoSliceMut::new(spare)],
        &mut control,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            files.extend(descriptors);
        }
    }
    let count = received.bytes;
    // SAFETY: the kernel has filled so many bytes of the spare room.
    unsafe { buffer.set_len(buffer.len() + count) };
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(rustix::io::Errno::MFILE);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pair_leads_to_nobody_unless_it_was_given_a_name() {
        let (one, other) = UnixStream::pair().unwrap();
        assert!(!leads_to_listener(one.as_fd()) && !leads_to_listener(other.as_fd()));
        let (ours, theirs) = named_pair().unwrap();
        assert!(leads_to_listener(theirs.as_fd()));
        assert!(!leads_to_listener(ours.as_fd()));
    }
}
