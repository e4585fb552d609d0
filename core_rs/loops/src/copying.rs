//! Copies between memory and files, large ones by several threads: most of what a fresh page costs is the kernel's to
//! get it, and that it does on several cores at once.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::thread;

/// A thread gets no less.
const LEAST_EACH: usize = 8 << 20;
/// More share the memory's bandwidth, not its latency.
const MOST_THREADS: usize = 4;

/// Fills `memory` with what the file has from `offset` on.
pub fn read(file: BorrowedFd<'_>, memory: &mut [u8], offset: u64) -> io::Result<()> {
    let each = share_of_a_thread(memory.len());
    let pieces = memory.chunks_mut(each).enumerate();
    in_threads(
        pieces.map(|(number, piece)| {
            move || read_alone(file, piece, offset + (number * each) as u64)
        }),
    )
}

/// Writes `memory` into the file from `offset` on.
pub fn write(file: BorrowedFd<'_>, memory: &[u8], offset: u64) -> io::Result<()> {
    let each = share_of_a_thread(memory.len());
    let pieces = memory.chunks(each).enumerate();
    in_threads(
        pieces.map(|(number, piece)| {
            move || write_alone(file, piece, offset + (number * each) as u64)
        }),
    )
}

fn share_of_a_thread(length: usize) -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
    let threads = (length / LEAST_EACH).clamp(1, cores.min(MOST_THREADS));
    // Whole pages: one that two threads write is got by both.
    length.div_ceil(threads).next_multiple_of(4096).max(4096)
}

/// The first in this thread, each of the others in one of its own.
fn in_threads<J>(mut jobs: impl Iterator<Item = J>) -> io::Result<()>
where
    J: FnOnce() -> io::Result<()> + Send,
{
    let Some(own) = jobs.next() else {
        return Ok(());
    };
    thread::scope(|scope| {
        let mut results = Vec::new();
        let mut others = Vec::new();
        for job in jobs {
            others.push(scope.spawn(job));
        }
        results.push(own());
        results.extend(others.into_iter().map(|other| {
            let died = |_| Err(io::Error::other("a thread that copies has died"));
            other.join().unwrap_or_else(died)
        }));
        results.into_iter().collect()
    })
}

fn read_alone(file: BorrowedFd<'_>, buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => (done, offset) = (done + count, offset + count as u64),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn write_alone(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => (bytes, offset) = (&bytes[count..], offset + count as u64),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
