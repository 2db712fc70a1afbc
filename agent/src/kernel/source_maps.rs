//! The maps that say who sends: two tables, of which one is in force, and tries that take what fits into neither.

use std::net::Ipv4Addr;

use agent_common::{
    prefix::{IN_TRIE, PrefixTable, SCANNED_PREFIXES, SlotRule},
    strides::{ALL_NEAR_NODES, Entry, NEAR_NODES, NearNodes, Node, Root},
};
use aya::{
    Ebpf,
    maps::{
        Array, MapData,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;

use crate::{
    domain::sources::SourceTable,
    kernel::{
        maps::{MapAccessError, at, take, take_globals},
        prefixes::{prefix4, prefix6},
        strides::Strides,
    },
};

/// Nodes that a table has room for beyond those that the sources at the start need: for nodes of the NLB that are found or
/// learned later. A source takes up to three; what does not fit is looked up in the trie.
const SPARE_NODES: u32 = 16;

/// The global that holds the near nodes of both tables.
const NEAR: &str = ".bss.nodes";

/// Nodes of both tables together that are not near ones.
pub fn nodes(sources: &SourceTable) -> u32 {
    let v4: Vec<_> = sources.iter().filter_map(prefix4).collect();
    // A table that is as large as this is no more than a few megabytes.
    let needed = Strides::build(&v4, 0, 4096).map_or(0, |strides| strides.nodes.len() as u32);
    if needed + SPARE_NODES <= NEAR_NODES { 0 } else { 2 * (needed + SPARE_NODES) }
}

/// The maps.
pub struct SourceMaps {
    near: Array<MapData, NearNodes>,
    /// Near nodes of both tables that are used.
    near_used: [Vec<Node>; 2],
    nodes: Array<MapData, Node>,
    prefixes: Array<MapData, PrefixTable>,
    trie4: LpmTrie<MapData, [u8; 4], Entry>,
    trie6: LpmTrie<MapData, [u8; 16], SlotRule>,
}

impl SourceMaps {
    /// Takes them out of a loaded object.
    ///
    /// # Errors
    ///
    /// When one is missing or of another kind.
    pub fn take(object: &mut Ebpf) -> Result<Self, MapAccessError> {
        Ok(Self {
            near: take_globals(object, NEAR)?,
            near_used: [const { Vec::new() }; 2],
            nodes: take(object, "NODES")?,
            prefixes: take(object, "PREFIXES")?,
            trie4: take(object, "TRIE4")?,
            trie6: take(object, "TRIE6")?,
        })
    }

    /// Writes a table that is not in force (0 or 1), and says where a search for an IPv4 source begins in it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn write(&mut self, table: u32, sources: &SourceTable) -> Result<Root, MapAccessError> {
        self.write6(table, sources)?;
        let v4: Vec<_> = sources.iter().filter_map(prefix4).collect();
        if let Some(Strides { root, nodes }) = Strides::build(&v4, table * NEAR_NODES, NEAR_NODES as usize) {
            self.near_used[table as usize] = nodes;
            self.write_near()?;
            return Ok(root);
        }
        let room = self.nodes.len() / 2;
        let first = table * room;
        let Some(Strides { root, nodes }) = Strides::build(&v4, ALL_NEAR_NODES + first, room as usize) else {
            for (network, rule) in &v4 {
                let key = Key::new(u32::from(network.prefix_len()), Ipv4Addr::octets(&network.network()));
                // Tallies for more slots than an entry can name would not fit into the machine.
                let entry = Entry::of_rule(rule).unwrap_or(Entry::OTHER);
                self.trie4.insert(&key, entry, 0).map_err(at("TRIE4"))?;
            }
            return Ok(Root { entry: Entry::IN_TRIE, ..Root::EMPTY });
        };
        for (number, node) in (first..).zip(nodes) {
            self.nodes.set(number, node, 0).map_err(at("NODES"))?;
        }
        Ok(root)
    }

    /// Writes the near nodes of both tables, because the kernel takes a global as a whole: those of the table in force are written
    /// with what they hold already.
    fn write_near(&mut self) -> Result<(), MapAccessError> {
        // On the heap from the begin: what once was on the stack stays in memory.
        let mut all = vec![Node::filled(Entry::NONE); ALL_NEAR_NODES as usize];
        for (table, used) in all.chunks_exact_mut(NEAR_NODES as usize).zip(&self.near_used) {
            table[..used.len()].copy_from_slice(used);
        }
        let all: Box<NearNodes> = all.try_into().expect("as many as there are");
        self.near.set(0, all.as_ref(), 0).map_err(at(NEAR))
    }

    fn write6(&mut self, table: u32, sources: &SourceTable) -> Result<(), MapAccessError> {
        let mut prefixes = Box::new(PrefixTable::EMPTY);
        let v6: Vec<_> = sources.iter().filter_map(|source| Some((prefix6(source)?, source))).collect();
        if v6.len() <= SCANNED_PREFIXES {
            prefixes.count = v6.len() as u32;
            prefixes.entries.iter_mut().zip(&v6).for_each(|(entry, (prefix, _))| *entry = *prefix);
        } else {
            prefixes.count = IN_TRIE;
            for (prefix, source) in &v6 {
                let IpNet::V6(network) = source.network else { continue };
                let key = Key::new(u32::from(network.prefix_len()), network.network().octets());
                self.trie6.insert(&key, prefix.rule, 0).map_err(at("TRIE6"))?;
            }
        }
        self.prefixes.set(table, *prefixes, 0).map_err(at("PREFIXES"))
    }
}
