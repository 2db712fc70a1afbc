//! The ways to hook a program up to a tracepoint, best first: with types, raw, and with a record (decision 0009).

use agent_common::config::{ABSENT, Target};
use aya::{
    Ebpf,
    programs::{Program, ProgramError, RawTracePoint, TracePoint},
};

use crate::{
    domain::stage::Stage,
    kernel::{dispatcher::Seat, facts::Usable, refusal::refusal, running::Link, typed::Types},
};

/// Counts SYNs that meet a full accept queue, where the kernel lets the begin of this function be traced.
pub(super) const FULL_QUEUES: &str = "tcp_conn_request";

const DROPS: &str = "kfree_skb";

/// A tracepoint, its programs, and what is not seen without any of them.
pub(super) struct Tracepoint {
    /// Its name, and that of the program for a raw tracepoint.
    pub name: &'static str,
    category: &'static str,
    /// The kernel's type information has what the programs need.
    pub usable: bool,
    /// A program that takes arguments with types, where the kernel describes them.
    typed: Option<&'static str>,
    /// A program that takes a record, where it is known how that is laid out.
    parsed: Option<&'static str>,
    /// Of what nothing can be said without it.
    pub stages: &'static [Stage],
    /// The same in words.
    pub loss: &'static str,
}

/// All of them.
pub(super) fn all(usable: Usable, target: &Target) -> [Tracepoint; 3] {
    let if_known = |program, fields: &[u32]| fields.iter().all(|field| *field != ABSENT).then_some(program);
    [
        Tracepoint {
            name: DROPS,
            category: "skb",
            usable: usable.drops,
            typed: usable.drop_type.map(|_| "kfree_skb_typed"),
            parsed: if usable.reasons {
                if_known("kfree_skb_parsed", &[target.record_packet, target.record_reason])
            } else {
                if_known("kfree_skb_parsed", &[target.record_packet])
            },
            stages: &[Stage::Admitted],
            loss: "which SYNs this host drops, and why",
        },
        Tracepoint {
            name: "inet_sock_set_state",
            category: "sock",
            usable: usable.sockets,
            typed: None,
            parsed: if_known(
                "inet_sock_set_state_parsed",
                &[target.record_socket, target.record_old_state, target.record_new_state],
            ),
            stages: &[Stage::Established, Stage::Served],
            loss: "which handshakes are finished and which connections are served",
        },
        Tracepoint {
            name: "tcp_retransmit_synack",
            category: "tcp",
            usable: usable.sockets,
            typed: None,
            parsed: if_known("tcp_retransmit_synack_parsed", &[target.record_request]),
            stages: &[Stage::Established],
            loss: "which SYN-ACKs are sent again",
        },
    ]
}

impl Tracepoint {
    /// Hooks it up in the best way that the kernel takes. The program that it runs and what keeps it there, unless it is reached from
    /// what all targets share.
    ///
    /// # Errors
    ///
    /// Why the kernel takes none, in the user's terms: what it says of the raw tracepoint.
    pub(super) fn hook_up(
        &self,
        object: &mut Ebpf,
        seat: Option<&Seat>,
        types: Option<&Types>,
    ) -> Result<Option<(&'static str, Link)>, String> {
        if let Some((program, types)) = self.typed.zip(types) {
            match self.hook_up_typed(object, program, types) {
                Ok(link) => return Ok(Some((program, link))),
                Err(error) => log::debug!("{}", refusal(program, &error)),
            }
        }
        let cause = match self.hook_up_raw(object, seat) {
            Ok(link) => return Ok(link.map(|link| (self.name, link))),
            Err(error) => refusal(self.name, &error),
        };
        let Some(program) = self.parsed else { return Err(cause) };
        log::debug!("{}: {cause}", self.name);
        match self.hook_up_parsed(object, program) {
            Ok(link) => Ok(Some((program, link))),
            Err(error) => {
                log::debug!("{program}: {}", refusal(program, &error));
                Err(cause)
            }
        }
    }

    fn hook_up_typed(&self, object: &mut Ebpf, program: &str, types: &Types) -> Result<Link, ProgramError> {
        types.hook_up(of_kind(object, program)?, self.name)
    }

    /// None where it is reached from what all targets share.
    fn hook_up_raw(&self, object: &mut Ebpf, seat: Option<&Seat>) -> Result<Option<Link>, ProgramError> {
        let program: &mut RawTracePoint = of_kind(object, self.name)?;
        program.load()?;
        if let Some(seat) = seat
            && seat.put(self.name, program.fd()?)
        {
            return Ok(None);
        }
        let link = program.attach(self.name)?;
        Ok(Some(Box::new(program.take_link(link)?)))
    }

    fn hook_up_parsed(&self, object: &mut Ebpf, program: &str) -> Result<Link, ProgramError> {
        let program: &mut TracePoint = of_kind(object, program)?;
        program.load()?;
        let link = program.attach(self.category, self.name)?;
        Ok(Box::new(program.take_link(link)?))
    }
}

/// What describes the arguments of the programs that take them with types.
pub(super) fn types(usable: Usable) -> Option<Types> {
    let types =
        Types::of(usable.drop_type.map(|id| (DROPS, id)), usable.request_type.map(|id| (FULL_QUEUES, id)));
    types.inspect_err(|error| log::debug!("types of arguments: {error}")).ok()
}

/// Hooks up [`FULL_QUEUES`].
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn hook_up_full_queues(object: &mut Ebpf, types: &Types) -> Result<Link, ProgramError> {
    types.hook_up_function(of_kind(object, FULL_QUEUES)?, FULL_QUEUES)
}

fn of_kind<'a, T>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut T, ProgramError>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    object.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}
