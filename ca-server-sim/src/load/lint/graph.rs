//! Who processes whom, and the rings in that.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::warning;
use crate::load::loader::Loaded;
use crate::load::mistakes::{Mistake, MistakeKind};
use crate::load::source::{Place, shown};

/// One record causes another to be processed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// By a monitor of the other record, and thus without end where it is in a ring.
    pub(super) is_cp: bool,
    /// The link.
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) struct Graph {
    /// By the record that causes.
    pub(super) edges: Vec<Edge>,
    /// Where the edges of each record begin.
    begins: Vec<usize>,
    /// For each record the number of the group of records that reach each other; a record that reaches another
    /// group has a higher number.
    pub(super) groups: Vec<usize>,
}

impl Graph {
    pub(super) fn new(records: usize, mut edges: Vec<Edge>) -> Self {
        edges.sort_by_key(|edge| edge.from);
        let mut begins = vec![0; records + 1];
        for edge in &edges {
            begins[edge.from + 1] += 1;
        }
        for at in 0..records {
            begins[at + 1] += begins[at];
        }
        let mut graph = Self {
            edges,
            begins,
            groups: Vec::new(),
        };
        graph.groups = graph.find_groups();
        graph
    }

    pub(super) fn of(&self, record: usize) -> &[Edge] {
        &self.edges[self.begins[record]..self.begins[record + 1]]
    }

    pub(super) fn records(&self) -> usize {
        self.begins.len() - 1
    }

    /// Tarjan's algorithm, without recursion.
    fn find_groups(&self) -> Vec<usize> {
        const NEW: usize = usize::MAX;
        let records = self.records();
        let (mut order, mut low) = (vec![NEW; records], vec![0; records]);
        let mut groups = vec![NEW; records];
        let (mut open, mut calls) = (Vec::new(), Vec::new());
        let (mut count, mut group) = (0, 0);
        for root in 0..records {
            if order[root] == NEW {
                calls.push((root, 0));
            }
            while let Some((record, next)) = calls.pop() {
                if next == 0 {
                    order[record] = count;
                    low[record] = count;
                    count += 1;
                    open.push(record);
                }
                match self.of(record).get(next) {
                    Some(edge) => {
                        calls.push((record, next + 1));
                        if order[edge.to] == NEW {
                            calls.push((edge.to, 0));
                        } else if groups[edge.to] == NEW {
                            low[record] = low[record].min(order[edge.to]);
                        }
                    }
                    None => {
                        if low[record] == order[record] {
                            while let Some(member) = open.pop() {
                                groups[member] = group;
                                if member == record {
                                    break;
                                }
                            }
                            group += 1;
                        }
                        if let Some(&(caller, _)) = calls.last() {
                            low[caller] = low[caller].min(low[record]);
                        }
                    }
                }
            }
        }
        groups
    }

    /// A shortest ring that begins with this edge.
    fn ring(&self, first: Edge) -> Vec<Edge> {
        let group = self.groups[first.from];
        let mut by: HashMap<usize, Edge> = HashMap::new();
        let mut next = VecDeque::from([first.to]);
        while let Some(record) = next.pop_front() {
            if record == first.from {
                break;
            }
            for &edge in self.of(record) {
                if self.groups[edge.to] == group
                    && edge.to != first.to
                    && !by.contains_key(&edge.to)
                {
                    by.insert(edge.to, edge);
                    next.push_back(edge.to);
                }
            }
        }
        let mut ring = Vec::new();
        let mut at = first.from;
        while at != first.to {
            let Some(&edge) = by.get(&at) else { break };
            ring.push(edge);
            at = edge.from;
        }
        ring.push(first);
        ring.reverse();
        ring
    }
}

/// Tells one ring of each group: first those that run for ever.
pub(super) fn rings(loaded: &Loaded, graph: &Graph, found: &mut Vec<Mistake>) {
    /// Names of a ring that are told.
    const MOST: usize = 8;
    let inner = |edge: &&Edge| graph.groups[edge.from] == graph.groups[edge.to];
    let mut chosen: HashMap<usize, Edge> = HashMap::new();
    for edge in graph.edges.iter().filter(inner) {
        let one = chosen.entry(graph.groups[edge.from]).or_insert(*edge);
        if edge.is_cp && !one.is_cp {
            *one = *edge;
        }
    }
    let mut chosen: Vec<Edge> = chosen.into_values().collect();
    chosen.sort_by_key(|edge| edge.from);
    for first in chosen {
        let ring = graph.ring(first);
        let name = |record: usize| format!("`{}`", shown(loaded.records.name(record)));
        let mut names: Vec<String> = ring.iter().take(MOST).map(|edge| name(edge.from)).collect();
        if ring.len() > MOST {
            names.push(format!("… ({} records)", ring.len()));
        }
        names.push(name(first.from));
        let names = names.join(" → ");
        let (message, remedy) = match (ring.len(), ring.iter().any(|edge| edge.is_cp)) {
            (1, false) => (
                format!("record {} processes itself", name(first.from)),
                "an IOC breaks it off",
            ),
            (_, false) => (
                format!("records process each other in a ring: {names}"),
                "an IOC breaks it off where it began",
            ),
            (_, true) => (
                format!("records process each other for ever, as their values change: {names}"),
                "nothing breaks off a ring through a CP link; leave CP out of one of them",
            ),
        };
        found.push(warning(MistakeKind::Loop, first.place, message, remedy));
    }
}
