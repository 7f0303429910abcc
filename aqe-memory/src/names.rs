//! From the name of a namespace to its number, and back.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::disk::DiskError;
use crate::error::NamespaceError;

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
    /// The names that there are already, beside the empty one. Their numbers begin at one, without gaps.
    pub(crate) fn new(numbers: HashMap<String, u16>) -> Self {
        let unnamed: Arc<str> = Arc::from("");
        let mut names = vec![Arc::clone(&unnamed); numbers.len() + 1];
        for (name, number) in numbers {
            if let Some(place) = names.get_mut(usize::from(number)) {
                *place = Arc::from(name);
            }
        }
        let numbers = (0..).zip(&names);
        let numbers = numbers.map(|(number, name)| (Arc::clone(name), number));
        Self(RwLock::new(Table {
            numbers: numbers.collect(),
            names,
        }))
    }

    /// The number of a name. If it has none yet it gets one, once `enter` has written that down.
    pub(crate) fn number(
        &self,
        name: &str,
        enter: impl FnOnce(u16) -> Result<(), DiskError>,
    ) -> Result<u16, NamespaceError> {
        if let Some(number) = self.find(name) {
            return Ok(number);
        }
        let mut table = self.0.write();
        // Somebody else may have asked for it meanwhile.
        if let Some(&number) = table.numbers.get(name) {
            return Ok(number);
        }
        let number = u16::try_from(table.names.len()).map_err(|_| NamespaceError::TooMany {
            name: name.to_owned(),
            most: MOST,
        })?;
        enter(number)?;
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
        let known = HashMap::from([("runs".to_owned(), 1), ("flakes".to_owned(), 2)]);
        let names = Names::new(known);
        let number = |name: &str| names.number(name, |_| Ok(()));
        assert_eq!(number(""), Ok(0), "no name is a name too");
        assert_eq!((number("flakes"), number("other")), (Ok(2), Ok(3)));
        assert_eq!((number("runs"), number("other")), (Ok(1), Ok(3)));
        assert_eq!(&*names.name(2), "flakes");
        assert_eq!(names.find("new"), None);
        for left in names.all().len()..MOST {
            number(&left.to_string()).unwrap();
        }
        let refused = number("one more").unwrap_err();
        assert!(
            matches!(&refused, NamespaceError::TooMany { name, most: MOST } if name == "one more")
        );
        assert_eq!(number("runs"), Ok(1), "and the others stay");
    }
}
