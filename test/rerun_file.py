"""Read a recording of the Rerun viewer back, and tell what the viewer shows of it."""

from dataclasses import dataclass, field

import rerun


@dataclass
class Row:
    """One thing that was logged: order among all rows, times by timeline (none = static), values by component."""

    entity: str
    order: bytes
    times: dict
    values: dict


@dataclass
class RerunFile:
    """Rows by the order in which they were logged, and the entities of the blueprint."""

    rows: list = field(default_factory=list)
    blueprint: list = field(default_factory=list)

    def entities(self, below=""):
        """Return the entities that hold data, those of the reader itself left out."""
        found = {row.entity for row in self.rows if "Clear:is_recursive" not in row.values}
        return sorted(name for name in found if name.startswith(below) and not name.startswith("/__"))

    def of(self, entity):
        """Return the rows of an entity."""
        return [row for row in self.rows if row.entity == entity]

    def shown(self, below="", frame=None):
        """Return what the viewer shows at a frame (the last one by default): entity -> component -> newest values."""
        due = [row for row in self.rows if frame is None or row.times.get("frame", -1) <= frame]
        held = {}
        for row in sorted(due, key=lambda item: (item.times.get("frame", -1), item.order)):
            if "Clear:is_recursive" in row.values:
                recursive = row.values["Clear:is_recursive"][0]
                for name in list(held):
                    if name == row.entity or (recursive and name.startswith(row.entity + "/")):
                        del held[name]
            else:
                held.setdefault(row.entity, {}).update(row.values)
        return {name: values for name, values in held.items() if name.startswith(below) and not name.startswith("/__")}


def read_rerun_file(path):
    """Return what is in an .rrd file; fails when it is not whole."""
    reader = rerun.chunk.RrdReader(str(path))
    result = RerunFile()
    (recording,) = reader.recordings()
    for chunk in reader.stream(store=recording).to_chunks():
        batch = chunk.to_record_batch()
        columns = {name: batch.column(index) for index, name in enumerate(batch.schema.names)}
        order = columns.pop("rerun.controls.RowId").to_pylist()
        times = {name: columns.pop(name).cast("int64").to_pylist() for name in chunk.timeline_names}
        values = {name: column.to_pylist() for name, column in columns.items()}
        for index in range(batch.num_rows):
            result.rows.append(
                Row(
                    str(chunk.entity_path),
                    order[index],
                    {name: column[index] for name, column in times.items()},
                    {name: column[index] for name, column in values.items() if column[index] is not None},
                )
            )
    result.rows.sort(key=lambda row: row.order)
    for store in reader.blueprints():
        result.blueprint += [str(chunk.entity_path) for chunk in reader.stream(store=store).to_chunks()]
    return result
