//! A GPU that is open.

use std::{
    ffi::{CString, c_int},
    fmt,
    sync::Arc,
};

use super::{
    driver::{self, Context, Function, Refusal},
    queue::Queue,
};
use crate::{Accelerator, Description, GpuError, Kernel, Stream, blas};

/// The oldest CUDA whose drivers load the machine code.
const CUDA: u32 = 13_000;
/// The oldest architecture that it is for.
const ARCHITECTURE: u32 = 8;

/// Aligned as the driver wants it.
#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static CODE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../cuda/built/kernels.fatbin"));

/// A GPU of NVIDIA, with all kernels loaded.
#[derive(Clone)]
pub struct Device(Arc<Open>);

/// What its streams share.
pub(crate) struct Open {
    pub(super) context: Context,
    pub(super) description: Description,
    device: c_int,
    functions: Vec<(Kernel, Function)>,
}

impl Device {
    /// How many GPUs the driver shows to this process.
    ///
    /// # Errors
    /// Why there is no driver to ask.
    pub fn count() -> Result<u32, GpuError> {
        driver::library()?;
        match driver::init().and_then(|()| driver::count()) {
            Err(Refusal { code: driver::NO_DEVICE, .. }) | Ok(0) => Err(GpuError::NoDevice),
            Ok(count) => Ok(count),
            Err(refusal) => Err(refusal.of("the driver")),
        }
    }

    /// Opens the GPU with this number, as the driver counts those that it shows.
    ///
    /// # Errors
    /// There is no driver, no such GPU, or none that the machine code is for.
    pub fn open(ordinal: u32) -> Result<Self, GpuError> {
        if ordinal >= Self::count()? {
            return Err(GpuError::NoDevice);
        }
        let of_driver = |refusal: Refusal| refusal.of("the driver");
        let version = driver::version().map_err(of_driver)?;
        if version < CUDA {
            return Err(GpuError::OldDriver { major: version / 1000, minor: version % 1000 / 10 });
        }
        let device = driver::device(ordinal).map_err(of_driver)?;
        let name = format!("GPU {ordinal} ({})", driver::name(device).map_err(of_driver)?);
        let of_device = |refusal: Refusal| refusal.of(&name);
        let [major, minor, processors] = driver::attributes(device).map_err(of_device)?;
        let unfit = || GpuError::Architecture { device: name.clone(), major, minor };
        if major < ARCHITECTURE {
            return Err(unfit());
        }
        let memory = driver::memory(device).map_err(of_device)?;
        let context = driver::retain(device).map_err(of_device)?;
        // From here on dropping it releases the context.
        let description = Description { name: name.clone(), memory, processors };
        let mut open = Open { context, description, device, functions: Vec::new() };
        driver::enter(context).map_err(of_device)?;
        let module = driver::load(&CODE.0).map_err(|refusal| match refusal.code {
            driver::NO_BINARY_FOR_GPU | driver::UNSUPPORTED_PTX => unfit(),
            _ => of_device(refusal),
        })?;
        for kernel in Kernel::ALL {
            let called = CString::new(kernel.name()).unwrap_or_default();
            open.functions.push((kernel, driver::function(module, &called).map_err(of_device)?));
        }
        Ok(Self(Arc::new(open)))
    }
}

impl Device {
    /// Whether its streams can multiply matrices, which cuBLAS does.
    ///
    /// # Errors
    /// The library is not there, or lacks what is needed.
    pub fn has_products(&self) -> Result<(), GpuError> {
        blas::library()
    }

    /// What its streams share.
    pub(crate) fn open_device(&self) -> Arc<Open> {
        Arc::clone(&self.0)
    }
}

impl Accelerator for Device {
    fn description(&self) -> &Description {
        &self.0.description
    }

    fn stream(&self) -> Result<Box<dyn Stream>, GpuError> {
        Ok(Box::new(Queue::new(Arc::clone(&self.0))?))
    }
}

impl Open {
    /// Makes its context that of this thread's next calls.
    pub(crate) fn enter(&self) -> Result<(), GpuError> {
        driver::enter(self.context).map_err(|refusal| refusal.of(&self.description.name))
    }

    pub(super) fn function(&self, kernel: Kernel) -> Option<Function> {
        self.functions.iter().find(|(of, _)| *of == kernel).map(|(_, function)| *function)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // The driver unloads the code with the context. A device that is lost has nothing to release.
        driver::release(self.device).unwrap_or_default();
    }
}

impl Refusal {
    /// As an error of a device.
    pub(super) fn of(self, device: &str) -> GpuError {
        GpuError::Lost { device: device.to_owned(), problem: format!("{}: {} ({})", self.operation, self.text, self.code) }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.description.name)
    }
}
