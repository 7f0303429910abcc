//! From the name of a namespace to its number, and back.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::TooManyNamespaces;

/// The namespaces of a store. They are never taken away, so that a number means the same name for ever.
#[derive(Debug)]
pub(crate) struct Names(RwLock<Table>);

#[derive(Debug)]
struct Table {
    numbers: HashMap<Arc<str>, u16>,
    /// By number. The first is the namespace without a name.
    names: Vec<Arc<str>>,
}

/// The most namespaces of a store.
const MOST: usize = u16::MAX as usize + 1;

impl Names {
    pub(crate) fn new() -> Self {
        let unnamed: Arc<str> = Arc::from("");
        Self(RwLock::new(Table {
            numbers: HashMap::from([(Arc::clone(&unnamed), 0)]),
            names: vec![unnamed],
        }))
    }

    /// The number of a name, which gets one if it has none.
    pub(crate) fn number(&self, name: &str) -> Result<u16, TooManyNamespaces> {
        if let Some(number) = self.find(name) {
            return Ok(number);
        }
        let mut table = self.0.write();
        // Somebody else may have asked for it meanwhile.
        if let Some(&number) = table.numbers.get(name) {
            return Ok(number);
        }
        let number = u16::try_from(table.names.len()).map_err(|_| TooManyNamespaces {
            name: name.to_owned(),
            most: MOST,
        })?;
        let name: Arc<str> = Arc::from(name);
        table.numbers.insert(Arc::clone(&name), number);
        table.names.push(name);
        Ok(number)
    }

    /// The number of a name that was asked for before.
    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        self.0.read().numbers.get(name).copied()
    }

    /// The name of a number that was given.
    pub(crate) fn name(&self, number: u16) -> Arc<str> {
        let table = self.0.read();
        let name = table.names.get(usize::from(number));
        Arc::clone(name.unwrap_or(&table.names[0]))
    }

    /// All names, in their order.
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        let mut names = self.0.read().names.clone();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_the_last_one_is_refused() {
        let names = Names::new();
        assert_eq!(names.number("").unwrap(), 0, "no name is a name too");
        assert_eq!(names.number("runs").unwrap(), 1);
        assert_eq!(names.number("flakes").unwrap(), 2);
        assert_eq!(names.number("runs").unwrap(), 1);
        assert_eq!(&*names.name(2), "flakes");
        assert_eq!(names.find("other"), None);
        for number in names.all().len()..MOST {
            names.number(&number.to_string()).unwrap();
        }
        let refused = names.number("one more").unwrap_err();
        assert_eq!((refused.name.as_str(), refused.most), ("one more", MOST));
        assert_eq!(names.number("runs").unwrap(), 1, "and the others stay");
    }
}
