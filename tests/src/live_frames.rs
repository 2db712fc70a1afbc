//! A flood of SYNs at the speed of the machine: frames that the kernel makes out of one by an XDP program and sends without
//! a copy (`BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18). [`crate::flood`] is the slower way that every kernel has.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp},
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{
    flood,
    frame::{Frame, Link},
    others::OBJECT,
    wire::{INTERFACE, SENDER, TARGET, Wire},
};

/// Frames at once; a queue of the link holds 256.
const BATCH: u32 = 64;

/// How many SYNs to send: so many, unless `LAB_FLOOD` says otherwise.
///
/// # Panics
///
/// When `LAB_FLOOD` is no number.
pub fn size(usual: u64) -> u64 {
    std::env::var("LAB_FLOOD")
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("LAB_FLOOD={text} is no number")))
}

/// Sends from sources drawn anew for each SYN.
pub struct Generator<'a> {
    wire: &'a Wire,
    object: Ebpf,
    frame: Vec<u8>,
}

impl<'a> Generator<'a> {
    /// One whose sources have all bits of `base`, and those of `drawn` as they come.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn new(wire: &'a Wire, base: Ipv4Addr, drawn: u32) -> Result<Self> {
        let link = Link {
            source: flood::hardware_address(&wire.sender, SENDER),
            destination: flood::hardware_address(&wire.task, INTERFACE),
            tags: Vec::new(),
        };
        let frame = Frame::syn(base.into(), 40_000, TARGET).on(&link);
        let index = wire.sender.run(|| flood::index(SENDER))?;
        let mut object = EbpfLoader::new()
            .override_global("FLOOD_INTERFACE", &index, true)
            .override_global("FLOOD_BASE", &base.to_bits(), true)
            .override_global("FLOOD_DRAWN", &drawn, true)
            .load(OBJECT)
            .context("loading the lab's own programs")?;
        let program: &mut Xdp = object.program_mut("flood").context("no program flood")?.try_into()?;
        program.load()?;
        Ok(Self { wire, object, frame })
    }

    /// Sends so many SYNs, from all CPUs at once and the same number from each; the time that it took. Where the receiver is
    /// slower than the sender, the link loses some.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn send(&self, count: u64) -> Result<Duration> {
        let program: &Xdp = self.object.program("flood").context("no program flood")?.try_into()?;
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let share = u32::try_from(count / cpus as u64)?;
        let began = Instant::now();
        thread::scope(|scope| {
            let each = |cpu| {
                move || {
                    let mut set = CpuSet::new();
                    set.set(cpu);
                    sched_setaffinity(None, &set).with_context(|| format!("staying on CPU {cpu}"))?;
                    let mut options = TestRunOptions::new();
                    options.data_in = Some(&self.frame);
                    options.repeat = share;
                    options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
                    self.wire.sender.run(|| program.test_run(options)).context("frames of XDP")?;
                    anyhow::Ok(())
                }
            };
            let threads: Vec<_> = (0..cpus).map(|cpu| scope.spawn(each(cpu))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a thread that sends"))
        })?;
        Ok(began.elapsed())
    }
}
