//! The capture queue of a device, single- or multi-planar, and its format: the ioctls that the v4l crate
//! has for single-planar devices alone.
//!
//! Boards with an image processor of their own (Rockchip, NXP) have multi-planar nodes: the same calls with
//! a list of planes. Luma comes first in every format that glint reads, so the first plane is enough.
#![allow(unsafe_code)]

use std::io;

use v4l::Device;
use v4l::capability::Flags;
use v4l::v4l_sys::{v4l2_fmtdesc, v4l2_format, v4l2_streamparm};
use v4l::v4l2::{self, vidioc};

/// How a device hands out its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// V4L2_BUF_TYPE_VIDEO_CAPTURE: a frame is one stretch of memory.
    Single,
    /// V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE: a frame is a list of planes.
    Multi,
}

/// What a device has been set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Code of the pixel format.
    pub(crate) fourcc: [u8; 4],
    /// Columns.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// Distance of rows in bytes, of the first plane.
    pub(crate) stride: u32,
}

/// A call with the structure that belongs to it.
pub(super) fn ioctl<T>(device: &Device, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    // SAFETY: `argument` is the structure that `request` was made from, alive and exclusive.
    unsafe { v4l2::ioctl(device.handle().fd(), request, std::ptr::from_mut(argument).cast()) }
}

/// A structure of linux/videodev2.h in which everything is zero.
pub(super) fn zeroed<T: Copy>() -> T {
    // SAFETY: called with structures of linux/videodev2.h alone: integers, and unions of integers and pointers
    // that are read only where the kernel has filled them.
    unsafe { std::mem::zeroed() }
}

impl Queue {
    /// The capture queue of a device; `None` where it captures no video.
    pub(crate) fn for_device(device: &Device) -> io::Result<Option<Self>> {
        let capabilities = device.query_caps()?.capabilities;
        Ok(if capabilities.contains(Flags::VIDEO_CAPTURE) {
            Some(Self::Single)
        } else if capabilities.contains(Flags::VIDEO_CAPTURE_MPLANE) {
            Some(Self::Multi)
        } else {
            None
        })
    }

    /// The queue's number in linux/videodev2.h.
    pub(crate) fn kind(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::Multi => 9,
        }
    }

    /// Codes of the formats that the device offers.
    pub(crate) fn formats(self, device: &Device) -> io::Result<Vec<[u8; 4]>> {
        let mut out = Vec::new();
        // No driver has as many; one that never says the end does not hang us.
        for index in 0..256 {
            let mut description: v4l2_fmtdesc = zeroed();
            (description.index, description.type_) = (index, self.kind());
            match ioctl(device, vidioc::VIDIOC_ENUM_FMT, &mut description) {
                Ok(()) => out.push(description.pixelformat.to_le_bytes()),
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => break,
                Err(e) => return Err(e),
            }
        }
        Ok(out)
    }

    /// Asks for a format and size; the driver may grant others.
    pub(crate) fn set_format(
        self,
        device: &Device,
        fourcc: [u8; 4],
        width: u32,
        height: u32,
    ) -> io::Result<Granted> {
        /// V4L2_FIELD_NONE: whole frames, no half pictures.
        const PROGRESSIVE: u32 = 1;
        let mut format: v4l2_format = zeroed();
        format.type_ = self.kind();
        let pixelformat = u32::from_le_bytes(fourcc);
        match self {
            Self::Single => {
                let mut pix: v4l::v4l_sys::v4l2_pix_format = zeroed();
                (pix.width, pix.height, pix.pixelformat, pix.field) =
                    (width, height, pixelformat, PROGRESSIVE);
                format.fmt.pix = pix;
                ioctl(device, vidioc::VIDIOC_S_FMT, &mut format)?;
                // SAFETY: the kernel has filled the member that belongs to `type_`.
                let pix = unsafe { format.fmt.pix };
                Ok(Granted {
                    fourcc: pix.pixelformat.to_le_bytes(),
                    width: pix.width,
                    height: pix.height,
                    stride: pix.bytesperline,
                })
            }
            Self::Multi => {
                let mut pix: v4l::v4l_sys::v4l2_pix_format_mplane = zeroed();
                (pix.width, pix.height, pix.pixelformat, pix.field) =
                    (width, height, pixelformat, PROGRESSIVE);
                format.fmt.pix_mp = pix;
                ioctl(device, vidioc::VIDIOC_S_FMT, &mut format)?;
                // SAFETY: the kernel has filled the member that belongs to `type_`.
                let pix = unsafe { format.fmt.pix_mp };
                let first = pix.plane_fmt[0];
                Ok(Granted {
                    fourcc: { pix.pixelformat }.to_le_bytes(),
                    width: pix.width,
                    height: pix.height,
                    stride: first.bytesperline,
                })
            }
        }
    }

    /// Asks for a frame rate; the one granted, `None` where the driver has no say in it.
    pub(crate) fn set_rate(self, device: &Device, fps: u32) -> Option<f64> {
        let mut parameters: v4l2_streamparm = zeroed();
        parameters.type_ = self.kind();
        let mut capture: v4l::v4l_sys::v4l2_captureparm = zeroed();
        (capture.timeperframe.numerator, capture.timeperframe.denominator) = (1, fps.max(1));
        parameters.parm.capture = capture;
        ioctl(device, vidioc::VIDIOC_S_PARM, &mut parameters).ok()?;
        // SAFETY: the kernel has filled the member that belongs to `type_`.
        let granted = unsafe { parameters.parm.capture }.timeperframe;
        (granted.numerator > 0).then(|| f64::from(granted.denominator) / f64::from(granted.numerator))
    }
}
