//! Who else is attached to the interface: programs and filters of somebody else, which may drop or change packets.

use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

use crate::kernel::{
    clsact::{self, Neighbour},
    interface,
    privileges::{self, Power},
    programs::is_ours,
};

/// Everybody else's at an interface, in the order in which an arriving packet meets them, then those on its way out:
/// `xdp id 7, name`. Names are known while there is SYS_ADMIN. Runs in the target's namespace.
pub fn others(interface: &str, index: u32) -> Vec<String> {
    let link = interface::link_state(index).ok().flatten();
    let xdp = link.into_iter().flat_map(|link| link.xdp_programs).map(|id| phrase("xdp", id, name(id)));
    let filters = clsact::neighbours(index).unwrap_or_default();
    let on = |side: TcAttachType, word: &str, is_ingress: bool| {
        let tcx = privileges::with(Power::Load, || SchedClassifier::query_tcx(interface, side));
        let tcx = tcx.map(|(_, programs)| programs).unwrap_or_default().into_iter();
        let tcx = tcx.filter(|program| !program.name_as_str().is_some_and(is_ours)).map(|program| {
            phrase(&format!("tcx {word}"), program.id(), program.name_as_str().map(str::to_owned))
        });
        let clsact = filters.iter().filter(|filter| filter.is_ingress == is_ingress);
        tcx.chain(clsact.map(|filter| of_filter(word, filter))).collect::<Vec<_>>()
    };
    let ingress = on(TcAttachType::Ingress, "ingress", true);
    let egress = on(TcAttachType::Egress, "egress", false);
    xdp.chain(ingress).chain(egress).collect()
}

fn of_filter(word: &str, filter: &Neighbour) -> String {
    let hook = format!("clsact {word}");
    match filter.program {
        Some(id) => phrase(&hook, id, filter.name.clone()),
        None => format!("{hook} filter {}", filter.kind),
    }
}

fn phrase(hook: &str, id: u32, name: Option<String>) -> String {
    match name {
        Some(name) if !name.is_empty() => format!("{hook} id {id}, {name}"),
        _ => format!("{hook} id {id}"),
    }
}

fn name(id: u32) -> Option<String> {
    privileges::with(Power::Load, || {
        let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
        program.name_as_str().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_goes_by_its_number_and_its_name_where_that_is_known() {
        assert_eq!(phrase("xdp", 7, Some("guard".to_owned())), "xdp id 7, guard");
        assert_eq!(phrase("xdp", 7, Some(String::new())), "xdp id 7");
        assert_eq!(phrase("tcx egress", 9, None), "tcx egress id 9");
        let mut filter = Neighbour { is_ingress: true, kind: "flower".to_owned(), program: None, name: None };
        assert_eq!(of_filter("ingress", &filter), "clsact ingress filter flower");
        filter.program = Some(4);
        assert_eq!(of_filter("ingress", &filter), "clsact ingress id 4");
    }
}
