//! VATTR (format.md §5).

use super::handles::Cursor;
use super::{Kind, Rule, Time};

/// The fields with a meaning. The fields that must be 0 are checked by `parse`.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    pub mode: u32,
    pub btype: u8,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub atime: Time,
    pub used: u64,
    pub fsid: u64,
    pub file_id: u64,
    pub major: u32,
    pub minor: u32,
    pub nlink: u32,
    pub container_id: u64,
}

impl Attributes {
    /// Parses the handle's data. Returns `None` if its length is wrong.
    pub(crate) fn parse(data: &[u8], broken: &mut Vec<(Rule, String)>) -> Option<Attributes> {
        let mut cursor = Cursor::new(data);
        if cursor.u32()? != 104 || data.len() != 108 {
            return None;
        }
        let c = &mut cursor;
        let time = |c: &mut Cursor<'_>| Some((c.u32()?, c.u32()?));
        let mode = c.u16()?.into();
        let btype = c.u8()?;
        let unused = c.u8()?;
        let flags = c.u32()?;
        let (uid, gid, size) = (c.u32()?, c.u32()?, c.u64()?);
        let dtime = time(c)?;
        let (mtime, ctime, atime) = (time(c)?, time(c)?, time(c)?);
        let (used, fsid, file_id) = (c.u64()?, c.u64()?, c.u64()?);
        let (major, minor, nlink) = (c.u32()?, c.u32()?, c.u32()?);
        let last = c.u32()?;
        let container_id = c.u64()?;
        if unused != 0 || flags != 0 || dtime != (0, 0) || last != 0 {
            let text = format!("{unused}, flags {flags:x}, dtime {dtime:?}, {last}");
            broken.push((Rule::AttributeReserved, text));
        }
        cursor.end(Attributes {
            mode,
            btype,
            uid,
            gid,
            size,
            mtime,
            ctime,
            atime,
            used,
            fsid,
            file_id,
            major,
            minor,
            nlink,
            container_id,
        })
    }

    /// Checks the rules that depend only on the attributes and the entity's kind.
    pub(crate) fn check(&self, kind: Kind, broken: &mut Vec<(Rule, String)>) {
        let mut must = |holds: bool, rule: Rule, text: String| {
            if !holds {
                broken.push((rule, text));
            }
        };
        must(
            self.btype == kind.btype() && Kind::from_mode(self.mode) == Some(kind),
            Rule::AttributeType,
            format!("mode {:o}, btype {}, but {kind:?}", self.mode, self.btype),
        );
        for (name, time) in [("m", self.mtime), ("c", self.ctime), ("a", self.atime)] {
            let text = format!("{name}time has {} nanoseconds", time.1);
            must(time.1 < 1_000_000_000, Rule::AttributeTime, text);
        }
        must(
            self.used == self.size,
            Rule::AttributeUsed,
            format!("used {}, size {}", self.used, self.size),
        );
        must(
            self.fsid != 0 && u32::try_from(self.fsid).is_ok(),
            Rule::AttributeFsid,
            format!("fsid {:x}", self.fsid),
        );
        must(
            self.container_id != 0 && u32::try_from(self.container_id).is_ok(),
            Rule::AttributeContainerId,
            format!("container id {:x}", self.container_id),
        );
        let device = matches!(kind, Kind::Block | Kind::Character);
        must(
            device || (self.major, self.minor) == (0, 0),
            Rule::AttributeDevice,
            format!("{}:{} on a {kind:?}", self.major, self.minor),
        );
        let content = matches!(kind, Kind::Directory | Kind::Regular | Kind::Symlink);
        must(
            content || self.size == 0,
            Rule::AttributeSize,
            format!("a {kind:?} of {} bytes", self.size),
        );
    }
}
