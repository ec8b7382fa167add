//! The device that trains, chosen at run time: CPU, CUDA or Vulkan.
//!
//! CUDA and Vulkan are cargo features, so that the default build needs neither toolkit nor driver. Their kernels are
//! compiled at run time; where a driver or a compiler is missing the framework panics, and a release build then aborts.
//! So everything it needs is looked for first, with files and with the graphics library alone.

use anyhow::Result;
use burn::tensor::backend::AutodiffBackend;

use crate::backend::CpuTrain;

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Device {
    /// The processor; the same bits on every run.
    #[default]
    Cpu,
    /// An NVIDIA GPU (feature `cuda`).
    Cuda,
    /// Any GPU with a Vulkan driver, or Mesa's software one (feature `vulkan`).
    Vulkan,
}

/// Something that trains on any backend.
pub trait Job {
    /// What comes out.
    type Out;

    /// Runs on a device of backend `B`.
    fn run<B: AutodiffBackend>(self, device: B::Device) -> Result<Self::Out>;
}

/// Runs a job on a device, or says what is missing.
pub fn run<J: Job>(device: Device, job: J) -> Result<J::Out> {
    match device {
        Device::Cpu => job.run::<CpuTrain>(Default::default()),
        Device::Cuda => cuda(job),
        Device::Vulkan => vulkan(job),
    }
}

#[cfg(feature = "cuda")]
fn cuda<J: Job>(job: J) -> Result<J::Out> {
    probe::cuda().map_err(|e| anyhow::anyhow!("--device cuda: {e}"))?;
    job.run::<burn::backend::Autodiff<burn::backend::Cuda>>(Default::default())
}

#[cfg(not(feature = "cuda"))]
fn cuda<J: Job>(_: J) -> Result<J::Out> {
    anyhow::bail!(
        "--device cuda: this program was built without it (cargo build --release -p glint-pretrain --features cuda)"
    )
}

#[cfg(feature = "vulkan")]
fn vulkan<J: Job>(job: J) -> Result<J::Out> {
    let name = probe::vulkan().map_err(|e| anyhow::anyhow!("--device vulkan: {e}"))?;
    eprintln!("Vulkan: {name}");
    job.run::<burn::backend::Autodiff<burn::backend::Vulkan>>(vulkan_device())
}

/// The device that Vulkan trains on: a software driver counts as a processor and is not taken by default.
#[cfg(feature = "vulkan")]
pub fn vulkan_device() -> burn::backend::wgpu::WgpuDevice {
    match probe::has_gpu() {
        true => burn::backend::wgpu::WgpuDevice::DefaultDevice,
        false => burn::backend::wgpu::WgpuDevice::Cpu,
    }
}

#[cfg(not(feature = "vulkan"))]
fn vulkan<J: Job>(_: J) -> Result<J::Out> {
    anyhow::bail!(
        "--device vulkan: this program was built without it (cargo build --release -p glint-pretrain --features vulkan)"
    )
}

/// What a GPU needs at run time, looked for without calling the framework.
pub mod probe {
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    /// What CUDA needs: the driver's library and its device, NVRTC, and the headers that kernels include.
    #[derive(Debug, Clone)]
    pub struct CudaPlaces {
        /// Folders in which libraries are looked for.
        pub libraries: Vec<PathBuf>,
        /// Folders of a toolkit, the first that exists is taken.
        pub toolkits: Vec<PathBuf>,
        /// Device nodes, any of which will do.
        pub nodes: Vec<PathBuf>,
    }

    impl CudaPlaces {
        /// The places of this system and environment.
        pub fn of_system() -> Self {
            let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
            let split = |value: &OsStr| std::env::split_paths(value).collect::<Vec<_>>();
            let mut libraries = variable("LD_LIBRARY_PATH").map_or(Vec::new(), |v| split(&v));
            libraries.extend(linker_folders());
            libraries.extend(
                [
                    "/usr/lib/x86_64-linux-gnu",
                    "/usr/lib/aarch64-linux-gnu",
                    "/usr/lib64",
                    "/usr/lib",
                    "/usr/lib/wsl/lib",
                ]
                .map(PathBuf::from),
            );
            // The framework takes CUDA_PATH as it is, and else the first of these.
            let toolkits = match variable("CUDA_PATH") {
                Some(path) => vec![PathBuf::from(path)],
                None => {
                    let distribution = Path::new("/usr/bin/nvcc").exists().then(|| PathBuf::from("/usr"));
                    ["/usr/local/cuda", "/opt/cuda"]
                        .map(PathBuf::from)
                        .into_iter()
                        .chain(distribution)
                        .collect()
                }
            };
            Self {
                libraries,
                toolkits,
                nodes: ["/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"].map(PathBuf::from).to_vec(),
            }
        }
    }

    /// Folders that the dynamic linker knows, as far as its configuration is plain text.
    fn linker_folders() -> Vec<PathBuf> {
        let files = std::fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten().map(|e| e.path());
        let texts =
            files.chain([PathBuf::from("/etc/ld.so.conf")]).filter_map(|p| std::fs::read_to_string(p).ok());
        texts
            .flat_map(|t| t.lines().filter(|l| l.starts_with('/')).map(PathBuf::from).collect::<Vec<_>>())
            .collect()
    }

    /// Whether CUDA can be used; the error names what is missing and where it was looked for.
    pub fn cuda() -> Result<(), String> {
        cuda_in(&CudaPlaces::of_system())
    }

    /// As [`cuda`], in given places.
    pub fn cuda_in(places: &CudaPlaces) -> Result<(), String> {
        let toolkit = places.toolkits.iter().find(|p| p.is_dir());
        let mut folders = places.libraries.clone();
        folders.extend(
            toolkit.iter().flat_map(|t| ["lib64", "lib", "targets/x86_64-linux/lib"].map(|d| t.join(d))),
        );
        let library = |stem: &str| {
            folders.iter().any(|dir| {
                let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
                entries.into_iter().any(|e| e.file_name().to_string_lossy().starts_with(stem))
            })
        };
        let shown =
            |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        if !library("libcuda.so") {
            return Err("libcuda.so is missing: install the NVIDIA driver".into());
        }
        if !places.nodes.iter().any(|n| n.exists()) {
            return Err(format!("no device: none of {}", shown(&places.nodes)));
        }
        if !library("libnvrtc.so") {
            return Err("libnvrtc.so is missing: install the CUDA toolkit's NVRTC, and name its folder in LD_LIBRARY_PATH".into());
        }
        match toolkit {
            None => Err(format!("no CUDA toolkit in {}: set CUDA_PATH", shown(&places.toolkits))),
            Some(t) if !t.join("include/cuda_runtime.h").exists() => Err(format!(
                "{} has no include/cuda_runtime.h: kernels are compiled at run time and include it",
                t.display()
            )),
            Some(_) => Ok(()),
        }
    }

    /// Name of the adapter that Vulkan gives; the error says that there is none.
    #[cfg(feature = "vulkan")]
    pub fn vulkan() -> Result<String, String> {
        let adapters = adapters();
        let best = adapters.iter().min_by_key(|(_, gpu)| !gpu);
        best.map(|(name, _)| name.clone()).ok_or_else(|| {
            "no Vulkan adapter: install a driver (Debian: mesa-vulkan-drivers) and libvulkan1".into()
        })
    }

    /// Whether there is an adapter that is no software driver.
    #[cfg(feature = "vulkan")]
    pub fn has_gpu() -> bool {
        adapters().iter().any(|(_, gpu)| *gpu)
    }

    #[cfg(feature = "vulkan")]
    fn adapters() -> Vec<(String, bool)> {
        let mut setup = wgpu::InstanceDescriptor::new_without_display_handle();
        setup.backends = wgpu::Backends::VULKAN;
        let instance = wgpu::Instance::new(setup);
        // On a native platform the list is there at the first poll.
        let mut listing = std::pin::pin!(instance.enumerate_adapters(wgpu::Backends::VULKAN));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(adapters) = std::future::Future::poll(listing.as_mut(), &mut context)
        else {
            return Vec::new();
        };
        let describe = |a: &wgpu::Adapter| {
            let info = a.get_info();
            (info.name, info.device_type != wgpu::DeviceType::Cpu)
        };
        adapters.iter().map(describe).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_cuda_lacks_is_named() {
            let dir = tempfile::tempdir().expect("folder");
            let at = |name: &str| dir.path().join(name);
            let places = CudaPlaces {
                libraries: vec![at("lib")],
                toolkits: vec![at("missing"), at("cuda")],
                nodes: vec![at("nvidia0")],
            };
            let touch = |name: &str| {
                std::fs::create_dir_all(at(name).parent().expect("a parent")).expect("folder");
                std::fs::write(at(name), b"").expect("writes");
            };
            let steps = [
                ("lib/libcuda.so.1", "libcuda.so"),
                ("nvidia0", "no device"),
                ("lib/libnvrtc.so.13", "libnvrtc.so"),
                ("cuda/x", "no CUDA toolkit"),
                ("cuda/include/cuda_runtime.h", "include/cuda_runtime.h"),
            ];
            for (file, lack) in steps {
                let error = cuda_in(&places).expect_err(lack);
                assert!(error.contains(lack), "{error}");
                touch(file);
            }
            assert_eq!(cuda_in(&places), Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Job for Nothing {
        type Out = ();

        fn run<B: AutodiffBackend>(self, _: B::Device) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_device_that_was_not_built_in_is_an_error() {
        run(Device::Cpu, Nothing).expect("the processor is there");
        for (device, built) in
            [(Device::Cuda, cfg!(feature = "cuda")), (Device::Vulkan, cfg!(feature = "vulkan"))]
        {
            if !built {
                let error = run(device, Nothing).expect_err("not built in").to_string();
                assert!(error.contains("built without it") && error.contains("--features"), "{error}");
            }
        }
    }
}
