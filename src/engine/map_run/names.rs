//! Names of children. They look like the UUIDs that AWS makes up, but tell the child's number, so
//! that an ARN leads to its row without an index over a million names.

use sha2::{Digest, Sha256};

use crate::engine::definition::ChildKind;
use crate::engine::{ACCOUNT, REGION};

/// Makes and reads the names of one Map Run's children.
#[derive(Debug, Clone)]
pub struct Names {
    seed: [u8; 32],
    kind: ChildKind,
    /// What a child's ARN begins with.
    prefix: String,
    state_machine_arn: String,
}

impl Names {
    pub fn new(map_run: &str, machine: &str, label: &str, kind: ChildKind) -> Self {
        let seed = Sha256::digest(map_run.as_bytes()).into();
        let resource = match kind {
            ChildKind::Standard => "execution",
            ChildKind::Express => "express",
        };
        let service = format!("arn:aws:states:{REGION}:{ACCOUNT}");
        Self {
            seed,
            kind,
            prefix: format!("{service}:{resource}:{machine}/{label}:"),
            state_machine_arn: format!("{service}:stateMachine:{machine}/{label}"),
        }
    }

    /// `SM/Label`, under which children are filed.
    pub fn state_machine_arn(&self) -> &str {
        &self.state_machine_arn
    }

    /// The child's name; of an Express child two parts joined with `:`.
    pub fn name(&self, child: u32) -> String {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(self.seed)
            .chain_update(child.to_le_bytes())
            .finalize()
            .into();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        first[..4].copy_from_slice(&(child ^ self.mask()).to_be_bytes());
        let first = uuid::Builder::from_md5_bytes(first).into_uuid();
        match self.kind {
            ChildKind::Standard => first.to_string(),
            ChildKind::Express => {
                let mut second = [0; 16];
                second.copy_from_slice(&hash[16..]);
                format!(
                    "{first}:{}",
                    uuid::Builder::from_md5_bytes(second).into_uuid()
                )
            }
        }
    }

    pub fn arn(&self, child: u32) -> String {
        self.arn_of(&self.name(child))
    }

    /// The ARN of the child with this name.
    pub fn arn_of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The child of this name, if it is one of this Map Run's.
    pub fn child(&self, name: &str) -> Option<u32> {
        let digits = name.get(..8)?;
        let child = u32::from_str_radix(digits, 16).ok()? ^ self.mask();
        (self.name(child) == name).then_some(child)
    }

    fn mask(&self) -> u32 {
        u32::from_be_bytes([self.seed[0], self.seed[1], self.seed[2], self.seed[3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_child_and_only_in_its_map_run() {
        let names = Names::new("arn:run:1", "SM", "Lines", ChildKind::Express);
        let other = Names::new("arn:run:2", "SM", "Lines", ChildKind::Express);
        for child in [0, 1, 999_999, u32::MAX] {
            assert_eq!(names.child(&names.name(child)), Some(child));
            assert_eq!(other.child(&names.name(child)), None);
        }
        assert_eq!(names.child("x"), None);
        assert_eq!(names.child("é-not-hex"), None);
    }
}
