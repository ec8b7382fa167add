//! A memory-mapped V4L2 stream: dequeue with a timeout, cut at `bytesused`, queue again.
//!
//! The v4l crate's own stream queues a queued buffer again after a timeout and panics in `Drop`; this
//! one keeps to what the kernel documents. It is the only place of the daemon that maps memory.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use v4l::Device;
use v4l::v4l_sys::{v4l2_buffer, v4l2_plane, v4l2_requestbuffers};
use v4l::v4l2::vidioc;

use super::queue::{Queue, ioctl, zeroed};

/// V4L2_MEMORY_MMAP and VIDEO_MAX_PLANES of linux/videodev2.h.
const MMAP: u32 = 1;
const PLANES: usize = 8;
/// V4L2_BUF_FLAG_ERROR, and the mask and value of a monotonic time stamp.
const FLAG_ERROR: u32 = 0x40;
const TIMESTAMP_MASK: u32 = 0xe000;
const TIMESTAMP_MONOTONIC: u32 = 0x2000;
/// Buffers to ask for: one is filled, one is read, two absorb a late wake-up.
const BUFFERS: u32 = 4;

struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

/// What the kernel says of a dequeued frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Number of the frame at the camera.
    pub(crate) sequence: u32,
    /// Monotonic time of capture; `None` when the driver stamps with another clock.
    pub(crate) at_ns: Option<i64>,
    /// The frame is damaged.
    pub(crate) error: bool,
}

/// A running stream. Dropping it stops the stream and unmaps the buffers.
pub(crate) struct Stream {
    device: Device,
    queue: Queue,
    mappings: Vec<Mapping>,
    streaming: bool,
}

// SAFETY: the mappings belong to this value alone and may be read from any thread.
unsafe impl Send for Stream {}

/// A buffer as the calls want it, with room for the planes of a multi-planar queue.
struct Buffer {
    buffer: v4l2_buffer,
    planes: [v4l2_plane; PLANES],
}

impl Buffer {
    fn new(queue: Queue, index: u32) -> Self {
        let mut out = Self { buffer: zeroed(), planes: [zeroed(); PLANES] };
        (out.buffer.index, out.buffer.type_, out.buffer.memory) = (index, queue.kind(), MMAP);
        out
    }

    /// Makes a call with the buffer.
    fn call(&mut self, device: &Device, queue: Queue, request: vidioc::_IOC_TYPE) -> io::Result<()> {
        if queue == Queue::Multi {
            // Set anew before each call: the buffer may have been moved, and its list with it.
            self.buffer.m.planes = self.planes.as_mut_ptr();
            self.buffer.length = PLANES as u32;
        }
        ioctl(device, request, &mut self.buffer)
    }

    /// Place and length of what is mapped: the frame, or its first plane.
    fn extent(&self, queue: Queue) -> (u32, usize) {
        match queue {
            // SAFETY: QUERYBUF has filled `offset` for a buffer of MMAP memory.
            Queue::Single => (unsafe { self.buffer.m.offset }, self.buffer.length as usize),
            // SAFETY: QUERYBUF has filled `mem_offset` for a plane of MMAP memory.
            Queue::Multi => (unsafe { self.planes[0].m.mem_offset }, self.planes[0].length as usize),
        }
    }

    /// Where in the mapping the data begin and end.
    fn used(&self, queue: Queue) -> (usize, usize) {
        match queue {
            Queue::Single => (0, self.buffer.bytesused as usize),
            // `bytesused` counts what lies before the data too.
            Queue::Multi => (self.planes[0].data_offset as usize, self.planes[0].bytesused as usize),
        }
    }
}

impl Stream {
    /// Asks for buffers, maps them, queues them and starts the stream.
    pub(crate) fn start(device: Device, queue: Queue) -> io::Result<Self> {
        let mut request: v4l2_requestbuffers = zeroed();
        (request.count, request.type_, request.memory) = (BUFFERS, queue.kind(), MMAP);
        ioctl(&device, vidioc::VIDIOC_REQBUFS, &mut request)?;
        let mut stream = Self { device, queue, mappings: Vec::new(), streaming: false };
        for index in 0..request.count {
            let mut buffer = Buffer::new(queue, index);
            buffer.call(&stream.device, queue, vidioc::VIDIOC_QUERYBUF)?;
            let (offset, length) = buffer.extent(queue);
            let size = NonZeroUsize::new(length)
                .ok_or_else(|| io::Error::other("the driver reports an empty buffer"))?;
            // SAFETY: the descriptor lives as long as `device`; the kernel checks length and offset.
            let start = unsafe {
                let fd = BorrowedFd::borrow_raw(stream.device.handle().fd());
                mmap(None, size, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, fd, i64::from(offset) as _)
            }?;
            stream.mappings.push(Mapping { start, length });
            buffer.call(&stream.device, queue, vidioc::VIDIOC_QBUF)?;
        }
        if stream.mappings.is_empty() {
            return Err(io::Error::other("the driver grants no buffers"));
        }
        let mut kind = queue.kind() as i32;
        ioctl(&stream.device, vidioc::VIDIOC_STREAMON, &mut kind)?;
        stream.streaming = true;
        Ok(stream)
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Waits for a frame and lets `read` see its bytes; the buffer is queued again afterwards. `None`
    /// after `timeout`.
    pub(crate) fn next<T>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&[u8], Meta) -> T,
    ) -> io::Result<Option<T>> {
        // SAFETY: the descriptor lives as long as the device.
        let fd = unsafe { BorrowedFd::borrow_raw(self.device.handle().fd()) };
        let mut waiting = [PollFd::new(fd, PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut waiting, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        let mut filled = Buffer::new(self.queue, 0);
        match filled.call(&self.device, self.queue, vidioc::VIDIOC_DQBUF) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        }
        let buffer = &filled.buffer;
        let mapping = self.mappings.get(buffer.index as usize);
        let mapping = mapping.ok_or_else(|| io::Error::other("the driver returned an unknown buffer"))?;
        let (begin, end) = filled.used(self.queue);
        // SAFETY: the mapping is `length` bytes long and stays until `self` is dropped; the kernel does
        // not write to a dequeued buffer.
        let mapped =
            unsafe { std::slice::from_raw_parts(mapping.start.as_ptr().cast::<u8>(), mapping.length) };
        let bytes = mapped.get(begin..end.min(mapping.length)).unwrap_or_default();
        let monotonic = buffer.flags & TIMESTAMP_MASK == TIMESTAMP_MONOTONIC;
        let stamp = buffer.timestamp;
        let meta = Meta {
            sequence: buffer.sequence,
            #[allow(clippy::useless_conversion)] // The fields are 32 bits wide on 32-bit machines.
            at_ns: monotonic.then(|| i64::from(stamp.tv_sec) * 1_000_000_000 + i64::from(stamp.tv_usec) * 1000),
            error: buffer.flags & FLAG_ERROR != 0,
        };
        let result = read(bytes, meta);
        Buffer::new(self.queue, buffer.index).call(&self.device, self.queue, vidioc::VIDIOC_QBUF)?;
        Ok(Some(result))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.streaming {
            let mut kind = self.queue.kind() as i32;
            // A camera that was unplugged has stopped already.
            let _ = ioctl(&self.device, vidioc::VIDIOC_STREAMOFF, &mut kind);
        }
        for m in &self.mappings {
            // SAFETY: mapped in `start` with this length, and unmapped once.
            let _ = unsafe { munmap(m.start, m.length) };
        }
        // Gives the buffers back, so that the device can be opened anew with another size.
        let mut request: v4l2_requestbuffers = zeroed();
        (request.type_, request.memory) = (self.queue.kind(), MMAP);
        let _ = ioctl(&self.device, vidioc::VIDIOC_REQBUFS, &mut request);
    }
}

/// A control of linux/v4l2-controls.h, with its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlRange {
    /// Least value.
    pub(crate) minimum: i32,
    /// Greatest value.
    pub(crate) maximum: i32,
}

/// The range of a control; `None` where the camera does not have it.
pub(crate) fn control_range(device: &Device, id: u32) -> Option<ControlRange> {
    let mut query: v4l::v4l_sys::v4l2_queryctrl = zeroed();
    query.id = id;
    ioctl(device, vidioc::VIDIOC_QUERYCTRL, &mut query).ok()?;
    const DISABLED: u32 = 1;
    (query.flags & DISABLED == 0).then_some(ControlRange { minimum: query.minimum, maximum: query.maximum })
}

/// The value of a control; `None` where the camera does not have it, or does not tell.
pub(crate) fn control(device: &Device, id: u32) -> Option<i32> {
    let mut control = v4l::v4l_sys::v4l2_control { id, value: 0 };
    ioctl(device, vidioc::VIDIOC_G_CTRL, &mut control).ok()?;
    Some(control.value)
}

/// Sets a control.
pub(crate) fn set_control(device: &Device, id: u32, value: i32) -> io::Result<()> {
    let mut control = v4l::v4l_sys::v4l2_control { id, value };
    ioctl(device, vidioc::VIDIOC_S_CTRL, &mut control)
}
