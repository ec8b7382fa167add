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
use v4l::v4l_sys::{v4l2_buffer, v4l2_requestbuffers};
use v4l::v4l2::{self, vidioc};

/// V4L2_BUF_TYPE_VIDEO_CAPTURE and V4L2_MEMORY_MMAP of linux/videodev2.h.
const CAPTURE: u32 = 1;
const MMAP: u32 = 1;
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
pub struct Meta {
    /// Number of the frame at the camera.
    pub sequence: u32,
    /// Monotonic time of capture; `None` when the driver stamps with another clock.
    pub at_ns: Option<i64>,
    /// The frame is damaged.
    pub error: bool,
}

/// A running stream. Dropping it stops the stream and unmaps the buffers.
pub struct Stream {
    device: Device,
    mappings: Vec<Mapping>,
    streaming: bool,
}

// SAFETY: the mappings belong to this value alone and may be read from any thread.
unsafe impl Send for Stream {}

fn ioctl<T>(device: &Device, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    // SAFETY: `argument` is the structure that `request` was made from, alive and exclusive.
    unsafe { v4l2::ioctl(device.handle().fd(), request, std::ptr::from_mut(argument).cast()) }
}

fn empty_buffer(index: u32) -> v4l2_buffer {
    // SAFETY: all zeros is a valid v4l2_buffer: it holds integers and unions of integers and pointers.
    let mut buffer: v4l2_buffer = unsafe { std::mem::zeroed() };
    (buffer.index, buffer.type_, buffer.memory) = (index, CAPTURE, MMAP);
    buffer
}

impl Stream {
    /// Asks for buffers, maps them, queues them and starts the stream.
    pub fn start(device: Device) -> io::Result<Self> {
        // SAFETY: all zeros is a valid v4l2_requestbuffers: it holds integers alone.
        let mut request: v4l2_requestbuffers = unsafe { std::mem::zeroed() };
        (request.count, request.type_, request.memory) = (BUFFERS, CAPTURE, MMAP);
        ioctl(&device, vidioc::VIDIOC_REQBUFS, &mut request)?;
        let mut stream = Self { device, mappings: Vec::new(), streaming: false };
        for index in 0..request.count {
            let mut buffer = empty_buffer(index);
            ioctl(&stream.device, vidioc::VIDIOC_QUERYBUF, &mut buffer)?;
            let length = buffer.length as usize;
            let size = NonZeroUsize::new(length).ok_or_else(|| io::Error::other("a buffer of no bytes"))?;
            // SAFETY: QUERYBUF filled `m.offset` for a buffer of MMAP memory.
            let offset = unsafe { buffer.m.offset };
            // SAFETY: the descriptor lives as long as `device`; the kernel checks length and offset.
            let start = unsafe {
                let fd = BorrowedFd::borrow_raw(stream.device.handle().fd());
                mmap(None, size, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, fd, i64::from(offset) as _)
            }?;
            stream.mappings.push(Mapping { start, length });
            ioctl(&stream.device, vidioc::VIDIOC_QBUF, &mut buffer)?;
        }
        if stream.mappings.is_empty() {
            return Err(io::Error::other("the camera gives no buffers"));
        }
        let mut kind = CAPTURE as i32;
        ioctl(&stream.device, vidioc::VIDIOC_STREAMON, &mut kind)?;
        stream.streaming = true;
        Ok(stream)
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Waits for a frame and lets `read` see its bytes; the buffer is queued again afterwards. `None`
    /// after `timeout`.
    pub fn next<T>(
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
        let mut buffer = empty_buffer(0);
        match ioctl(&self.device, vidioc::VIDIOC_DQBUF, &mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        }
        let mapping = self.mappings.get(buffer.index as usize);
        let mapping =
            mapping.ok_or_else(|| io::Error::other("the driver names a buffer that is not there"))?;
        let used = (buffer.bytesused as usize).min(mapping.length);
        // SAFETY: the mapping is `length` bytes long and stays until `self` is dropped; the kernel does
        // not write to a dequeued buffer.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.start.as_ptr().cast::<u8>(), used) };
        let monotonic = buffer.flags & TIMESTAMP_MASK == TIMESTAMP_MONOTONIC;
        let stamp = buffer.timestamp;
        let meta = Meta {
            sequence: buffer.sequence,
            #[allow(clippy::useless_conversion)] // The fields are 32 bits wide on 32-bit machines.
            at_ns: monotonic.then(|| i64::from(stamp.tv_sec) * 1_000_000_000 + i64::from(stamp.tv_usec) * 1000),
            error: buffer.flags & FLAG_ERROR != 0,
        };
        let result = read(bytes, meta);
        ioctl(&self.device, vidioc::VIDIOC_QBUF, &mut empty_buffer(buffer.index))?;
        Ok(Some(result))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.streaming {
            let mut kind = CAPTURE as i32;
            // A camera that was unplugged has stopped already.
            let _ = ioctl(&self.device, vidioc::VIDIOC_STREAMOFF, &mut kind);
        }
        for m in &self.mappings {
            // SAFETY: mapped in `start` with this length, and unmapped once.
            let _ = unsafe { munmap(m.start, m.length) };
        }
        // Gives the buffers back, so that the device can be opened anew with another size.
        // SAFETY: all zeros is a valid v4l2_requestbuffers.
        let mut request: v4l2_requestbuffers = unsafe { std::mem::zeroed() };
        (request.type_, request.memory) = (CAPTURE, MMAP);
        let _ = ioctl(&self.device, vidioc::VIDIOC_REQBUFS, &mut request);
    }
}

/// A control of linux/v4l2-controls.h, with its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlRange {
    /// Least value.
    pub minimum: i32,
    /// Greatest value.
    pub maximum: i32,
}

/// The range of a control; `None` where the camera does not have it.
pub fn control_range(device: &Device, id: u32) -> Option<ControlRange> {
    // SAFETY: all zeros is a valid v4l2_queryctrl: it holds integers alone.
    let mut query: v4l::v4l_sys::v4l2_queryctrl = unsafe { std::mem::zeroed() };
    query.id = id;
    ioctl(device, vidioc::VIDIOC_QUERYCTRL, &mut query).ok()?;
    const DISABLED: u32 = 1;
    (query.flags & DISABLED == 0).then_some(ControlRange { minimum: query.minimum, maximum: query.maximum })
}

/// Sets a control.
pub fn set_control(device: &Device, id: u32, value: i32) -> io::Result<()> {
    let mut control = v4l::v4l_sys::v4l2_control { id, value };
    ioctl(device, vidioc::VIDIOC_S_CTRL, &mut control)
}
