//! What a device refuses, and what is left of it then.

use braid_gpu::{Accelerator, Argument, GpuError, Kernel, Lane, Launch};
use braid_kernels::{Combine, Dtype, KernelError, Slice, SliceMut, linear};

use crate::shim;

fn output(length: usize, work: impl FnOnce(&mut SliceMut<'_>) -> Result<(), GpuError>) -> Result<(), GpuError> {
    work(&mut SliceMut::new(Dtype::F32, &mut vec![0; length * 4]).unwrap())
}

fn zeros(bytes: &[u8]) -> Slice<'_> {
    Slice::new(Dtype::F32, bytes).unwrap()
}

#[test]
fn operands_are_refused_as_the_cpu_refuses_them() {
    let (a, b) = (zeros(&[0; 36]), zeros(&[0; 32]));
    let integers = Slice::new(Dtype::I32, &[0; 36]).unwrap();
    let mut lane = Lane::new(&shim()).unwrap();
    for (inputs, weights) in
        [(vec![], vec![]), (vec![a], vec![1.0, 2.0]), (vec![a, b], vec![1.0, 2.0]), (vec![a, integers], vec![1.0, 2.0])]
    {
        let cpu = output(9, |out| Ok(linear(&inputs, &weights, 1.0, out)?)).unwrap_err();
        let gpu = output(9, |out| lane.linear(&inputs, &weights, 1.0, out)).unwrap_err();
        assert_eq!(gpu, cpu);
    }
    let combine = Combine { elect_sign: true, normalize: true, lambda: 1.0 };
    let none = output(9, |out| lane.task_vectors(&a, &[], &combine, out)).unwrap_err();
    assert!(matches!(none, GpuError::Kernel(KernelError::CountMismatch { what: "experts", .. })), "{none}");
}

#[test]
fn too_little_memory_is_said_and_the_lane_goes_on() {
    let mut lane = Lane::new(&shim().with_memory(10_000)).unwrap();
    let (small, large) = ([0; 2000], [0; 20_000]);
    for _ in 0..20 {
        let error = output(5000, |out| lane.linear(&[zeros(&large)], &[1.0], 1.0, out)).unwrap_err();
        assert_eq!(error.to_string(), "the shim has no 20000 bytes of memory free");
        output(500, |out| lane.linear(&[zeros(&small)], &[1.0], 1.0, out)).unwrap();
    }
}

/// An access past the end of a buffer ends the device, and with it the stream, but not the program.
#[test]
fn a_kernel_that_leaves_its_buffer_is_caught() {
    let mut stream = shim().stream().unwrap();
    let place = stream.allocate(64).unwrap();
    let arguments: Vec<Argument> = vec![place.into(), Argument::U32(1), place.into(), Argument::U32(3), Argument::U64(17)];
    let launch = Launch { kernel: Kernel::Convert, grid: (1, 1), block: 256, arguments: &arguments };
    let error = stream.launch(&launch).unwrap_err();
    assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    assert!(matches!(stream.allocate(1), Err(GpuError::Lost { .. })));
    let wrong = Launch { arguments: &arguments[1..], ..launch };
    assert!(matches!(shim().stream().unwrap().launch(&wrong), Err(GpuError::Lost { .. })), "one argument too few");
}
