//! Windows that slide over an image: their attributes have to agree before tract sees them, for it indexes them unchecked.

use tract_onnx::pb;

/// What is wrong with the window of a convolution or a pooling, or nothing. The side of a window that one attribute names
/// has to be in every other one: `strides` and `dilations` have a number a side, `pads` have two.
pub(super) fn check(graph: &pb::GraphProto) -> Result<(), String> {
    graph.node.iter().try_for_each(|node| {
        let numbers = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.ints.len());
        let Some(sides) =
            numbers("kernel_shape").or_else(|| numbers("strides")).or_else(|| numbers("dilations"))
        else {
            return Ok(());
        };
        for (name, expected) in [("strides", sides), ("dilations", sides), ("pads", 2 * sides)] {
            if let Some(n) = numbers(name)
                && n != expected
            {
                return Err(format!(
                    "operator {} {:?}: {name} has {n} numbers; expected {expected}",
                    node.op_type, node.name
                ));
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_whose_attributes_disagree_is_refused_by_name() {
        let attribute = |name: &str, n: usize| pb::AttributeProto {
            name: name.into(),
            ints: vec![1; n],
            ..pb::AttributeProto::default()
        };
        let graph = |pads| pb::GraphProto {
            node: vec![pb::NodeProto {
                op_type: "Conv".into(),
                name: "first".into(),
                attribute: vec![attribute("kernel_shape", 2), attribute("pads", pads)],
                ..pb::NodeProto::default()
            }],
            ..pb::GraphProto::default()
        };
        assert_eq!(check(&graph(4)), Ok(()));
        let error = check(&graph(3)).expect_err("a side lacks");
        assert_eq!(error, "operator Conv \"first\": pads has 3 numbers; expected 4");
    }
}
