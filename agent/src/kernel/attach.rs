//! Hooks the tc programs to the interface: tcx first in order, clsact in front where the kernel has no tcx.

use std::os::unix::net::UnixDatagram;

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::Link as _,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions},
};

use crate::{
    domain::{sample::BlindSpot, stage::Stage},
    kernel::{
        clsact::{Clsact, PRIORITY},
        programs::{EGRESS, EGRESS_SYN, INGRESS, INGRESS_SYN, Programs},
        refusal::{cause, refusal},
        tcx,
    },
};

/// Blind spot: what connections begin with.
pub const OPENINGS: &str = "hct_openings";
/// Blind spot: how they are answered.
pub const ANSWERS: &str = "hct_answers";

/// Which mechanism to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// tcx, else clsact.
    #[default]
    Auto,
    /// clsact even where the kernel has tcx; for tests of the fallback.
    Clsact,
}

/// One side of the interface.
struct Hook {
    side: TcAttachType,
    /// The program that counts and looks at what connections carry; also the id of the blind spot where neither runs.
    looks: &'static str,
    /// The one that counts only.
    counts: &'static str,
    stage: Stage,
    loss: &'static str,
    /// Id of the blind spot where only the second runs.
    look: &'static str,
    word: &'static str,
    look_loss: &'static str,
}

const HOOKS: [Hook; 2] = [
    Hook {
        side: TcAttachType::Ingress,
        looks: INGRESS,
        counts: INGRESS_SYN,
        stage: Stage::Arrived,
        loss: "arriving SYNs",
        look: OPENINGS,
        word: "openings",
        look_loss: "which connections of a shared address are health checks",
    },
    Hook {
        side: TcAttachType::Egress,
        looks: EGRESS,
        counts: EGRESS_SYN,
        stage: Stage::Answered,
        loss: "leaving SYN-ACKs",
        look: ANSWERS,
        word: "answers",
        look_loss: "how health checks are answered",
    },
];

/// The hooks on one interface. Dropping it outside the target's namespace would leave clsact filters behind: call
/// [`Attachment::detach`] inside.
#[derive(Default)]
pub struct Attachment {
    links: Vec<SchedClassifierLink>,
    clsact: Option<Clsact>,
    /// What tells other agents that the programs are an agent's.
    signs: Vec<UnixDatagram>,
    /// The hooks whose programs look into connections.
    pub looking: Vec<String>,
    /// What is hooked up and counts, such as `tcx ingress`.
    pub hooks: Vec<String>,
    /// What is not.
    pub blind_spots: Vec<BlindSpot>,
}

impl Attachment {
    /// Hooks up the programs that count, tell probes from clients of the same address, and see how they are answered. Runs in the target's namespace. What fails becomes a blind spot.
    pub fn attach(programs: &mut Programs, interface: &str, index: u32, mode: AttachMode) -> Self {
        let mut attachment = Self::default();
        for hook in &HOOKS {
            match attachment.attach_one(programs, hook.looks, (interface, index), hook.side, mode) {
                Ok(at) => {
                    attachment.looking.push(format!("{at} ({})", hook.word));
                    attachment.hooks.push(at);
                    continue;
                }
                Err(error) => attachment.miss(hook.look, &[], hook.looks, interface, &error, hook.look_loss),
            }
            // What it looks at closer is lost; what it counts need not be.
            match attachment.attach_one(programs, hook.counts, (interface, index), hook.side, mode) {
                Ok(at) => attachment.hooks.push(at),
                Err(error) => {
                    attachment.miss(hook.looks, &[hook.stage], hook.counts, interface, &error, hook.loss);
                }
            }
        }
        attachment
    }

    fn miss(
        &mut self,
        id: &'static str,
        stages: &[Stage],
        program: &str,
        interface: &str,
        error: &str,
        loss: &str,
    ) {
        self.blind_spots.push(BlindSpot {
            id,
            stages: stages.to_vec(),
            text: format!("tc program {program} on {interface}: {error}; not seen: {loss}"),
        });
    }

    fn attach_one(
        &mut self,
        programs: &mut Programs,
        name: &str,
        (interface, index): (&str, u32),
        side: TcAttachType,
        mode: AttachMode,
    ) -> Result<String, String> {
        let program = programs.classifier(name).map_err(|error| refusal(name, &error))?;
        let side_name = if side == TcAttachType::Ingress { "ingress" } else { "egress" };
        if mode == AttachMode::Auto && self.clsact.is_none() {
            // Where it cannot be said, others take it for somebody else's.
            let id = program.info().map(|info| info.id()).ok();
            self.signs.extend(id.and_then(|id| tcx::sign(id).ok()));
            match take_link(program, interface, side, TcAttachOptions::TcxOrder(LinkOrder::first())) {
                Ok(link) => {
                    self.links.push(link);
                    return Ok(format!("tcx {side_name}"));
                }
                // Kernels before 6.6 do not know the attach type.
                Err(error) if is_invalid(&error) => {}
                Err(error) => return Err(cause(&error)),
            }
        }
        if self.clsact.is_none() {
            self.clsact = Some(Clsact::prepare(interface, index).map_err(|error| cause(&error))?);
        }
        let handle = self.clsact.as_ref().map(Clsact::handle).unwrap_or_default();
        let options = TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle, classid: None });
        self.links.push(take_link(program, interface, side, options).map_err(|error| cause(&error))?);
        Ok(format!("clsact {side_name}"))
    }

    /// Unhooks everything. Runs in the target's namespace.
    pub fn detach(&mut self) {
        for link in self.links.drain(..) {
            if let Err(error) = link.detach() {
                log::debug!("detaching: {}", cause(&error));
            }
        }
        self.signs.clear();
        if let Some(clsact) = self.clsact.take()
            && let Err(error) = clsact.tidy()
        {
            log::debug!("removing clsact: {error}");
        }
    }
}

fn take_link(
    program: &mut SchedClassifier,
    interface: &str,
    side: TcAttachType,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, ProgramError> {
    let id = program.attach_with_options(interface, side, options)?;
    program.take_link(id)
}

fn is_invalid(error: &ProgramError) -> bool {
    match error {
        ProgramError::SyscallError(error) => {
            matches!(
                error.io_error.kind(),
                std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported
            )
        }
        _ => false,
    }
}
