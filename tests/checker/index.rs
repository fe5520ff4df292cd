//! The names of a container, by object id.

use std::collections::{BTreeSet, HashMap};

use super::filehandle::{self, ROOT, kind_of};
use super::name::Name;
use super::{Checked, Rule, Strictness};

/// The bucket object's id.
pub(crate) const BUCKET: [u8; 16] = well_known(0x63);
const V1_IDS: [[u8; 16]; 4] = [BUCKET, well_known(0x65), well_known(0x66), well_known(0x67)];
const FIRST_VERSION: u64 = 9;
const SEGMENT: u16 = 8;
const INDIRECT: u16 = 9;

const fn well_known(last: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[15] = last;
    id
}

/// One object: its blob and its parsed name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub blob: String,
    pub name: Name,
}

/// All objects by id, and the logs.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub objects: HashMap<Vec<u8>, Entry>,
    pub logs: BTreeSet<String>,
}

impl Index {
    /// Indexes the names and checks the rules that depend only on names.
    pub(crate) fn build(
        mut names: Vec<String>,
        strictness: Strictness,
        out: &mut Checked,
    ) -> Index {
        names.sort();
        let mut index = Index::default();
        let mut sequences = HashMap::new();
        for blob in names {
            if blob.ends_with(".txt") {
                index.logs.insert(blob);
                continue;
            }
            let name = match Name::parse(&blob) {
                Ok(name) => name,
                // A name with the layout of an object name is a malformed object name, not a foreign blob.
                Err(why) if blob.contains('_') && blob.contains('.') => {
                    out.add(Rule::NameSyntax, &blob, why);
                    continue;
                }
                Err(why) => {
                    out.add(Rule::ForeignBlob, &blob, why);
                    continue;
                }
            };
            check_name(&name, strictness, &mut |rule, text| {
                out.add(rule, &blob, text)
            });
            if let Some(sequence) = filehandle::sequence(&name.id) {
                let other = sequences.insert(sequence, name.id.clone());
                if other.is_some_and(|other| other != name.id) {
                    let text = format!("sequence {sequence} is not unique");
                    out.add(Rule::FilehandleSequence, &blob, text);
                }
            }
            index.insert(Entry { blob, name }, out);
        }
        index
    }

    /// Adds an entry. Of several versions, the highest is kept.
    fn insert(&mut self, entry: Entry, out: &mut Checked) {
        if let Some(other) = self.objects.get(&entry.name.id) {
            let text = format!("the same object as {}", other.blob);
            out.add(Rule::NameDuplicate, &entry.blob, text);
            if other.name.version >= entry.name.version {
                return;
            }
        }
        self.objects.insert(entry.name.id.clone(), entry);
    }
}

fn check_name(name: &Name, strictness: Strictness, add: &mut dyn FnMut(Rule, String)) {
    if name.hash != name.right_hash() {
        add(
            Rule::NameHash,
            format!("{:X}, not {:X}", name.hash, name.right_hash()),
        );
    }
    if name.snapshot != u32::MAX {
        add(Rule::NameSnapshot, format!("{:08X}", name.snapshot));
    }
    let right_version = match strictness {
        Strictness::Ours => name.version == FIRST_VERSION,
        Strictness::Original => name.version >= FIRST_VERSION,
    };
    if !right_version {
        add(Rule::NameVersion, format!("version {}", name.version));
    }
    let well_known = V1_IDS.iter().any(|id| name.id == id);
    if well_known == name.v2.is_some() {
        add(
            Rule::NameKind,
            "V1 is for well-known ids, V2 for others".into(),
        );
    }
    let Some((btype, _)) = name.v2 else {
        return;
    };
    let right_type = match name.id.len() {
        16 if name.id != ROOT => btype == SEGMENT || btype == INDIRECT,
        _ => kind_of(&name.id).is_some_and(|kind| btype == u16::from(kind.btype())),
    };
    if !right_type {
        add(Rule::NameObjectType, format!("object type {btype}"));
    }
    let mut broken = Vec::new();
    filehandle::check(&name.id, &mut broken);
    for (rule, text) in broken {
        add(rule, text);
    }
}
