"""The keys and values of rows that come and go: one buffer a layer, written in place, the newest token of every row in the same column.

Rows are aligned at their ends, so that the distance between two columns is the distance between two tokens for every row: what a family says
about attention windows stays true. A row that ends gives its place to the last one; a new one is copied in from its own first pass.

N rows at hand, H heads, C columns, D head width.
"""
import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

FIRST_COLUMNS = 256


class Board:
    """Which rows stand where: shared by the layers of one cache."""

    def __init__(self, max_rows: int):
        self.max_rows = max_rows
        self.starts: list[int] = []
        """First column of each row at hand."""
        self.end = 0
        """The column behind the newest tokens."""
        self.columns = FIRST_COLUMNS
        """Columns that every layer has."""

    @property
    def left(self) -> int:
        """First column that any row uses."""
        return min(self.starts, default=self.end)


class SlotLayer(CacheLayerMixin):
    """One layer's part."""

    is_sliding = False

    def __init__(self, board: Board):
        super().__init__()
        self.board = board

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Buffers of the shape of the first keys that come."""
        rows, columns = self.board.max_rows, self.board.columns
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_zeros(rows, key_states.shape[1], columns, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], columns, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Write the newest token of each row [N, H, 1, D] and return what all rows may look at."""
        board = self.board
        rows, at, left = len(board.starts), board.end, board.left
        self.keys[:rows, :, at : at + 1] = key_states
        self.values[:rows, :, at : at + 1] = value_states
        return self.keys[:rows, :, left : at + 1], self.values[:rows, :, left : at + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.board.end - self.board.left

    def get_max_length(self) -> int:
        return -1

    def move(self, source: slice, target: slice) -> None:
        """Move columns of all rows; the two may overlap."""
        for buffer in (self.keys, self.values):
            buffer[:, :, target] = buffer[:, :, source].clone()

    def widen(self, columns: int) -> None:
        """More columns."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(*old.shape[:2], columns, old.shape[3])
            new[:, :, : old.shape[2]] = old
            setattr(self, name, new)


class Slots(Cache):
    """A cache for at most `max_rows` rows at a time."""

    def __init__(self, num_layers: int, max_rows: int):
        self.board = Board(max_rows)
        super().__init__(layers=[SlotLayer(self.board) for _ in range(num_layers)])

    def __len__(self) -> int:
        return len(self.board.starts)

    @property
    def bytes_per_column(self) -> int:
        """Bytes that one token of one row takes in all layers; 0 before anything came."""
        return sum(2 * layer.keys.shape[1] * layer.keys.shape[3] * layer.keys.element_size() for layer in self.layers if layer.is_initialized)

    # ---- coming and going -----------------------------------------------------------------------
    def join(self, first_pass: DynamicCache, lengths: list[int], sources: list[int]) -> None:
        """Take in rows from the cache of their first pass, whose rows are padded on the left to one width.

        `sources` names the row of that cache for each new row, `lengths` their tokens: a prompt that is asked for twice was computed once.
        """
        board, width = self.board, first_pass.layers[0].keys.shape[2]
        longest = max(lengths)
        self.make_room(longest)
        rows = slice(len(board.starts), len(board.starts) + len(sources))
        for layer, found in zip(self.layers, first_pass.layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(found.keys, found.values)
            layer.keys[rows, :, board.end - longest : board.end] = found.keys[sources, :, width - longest :]
            layer.values[rows, :, board.end - longest : board.end] = found.values[sources, :, width - longest :]
        board.starts += [board.end - length for length in lengths]

    def leave(self, row: int) -> int:
        """Drop a row; the last one takes its place. Returns the number of the row that moved there."""
        board, last = self.board, len(self.board.starts) - 1
        if row != last:
            left, end = board.starts[last], board.end
            for layer in self.layers:
                layer.keys[row, :, left:end] = layer.keys[last, :, left:end]
                layer.values[row, :, left:end] = layer.values[last, :, left:end]
            board.starts[row] = board.starts[last]
        board.starts.pop()
        if not board.starts:
            board.end = 0
        return last

    def make_room(self, longest: int) -> None:
        """Columns for a row of so many tokens left of the end, and for one more token behind it."""
        board = self.board
        left, used = board.left, board.end - board.left
        if board.end >= longest and board.end < board.columns:
            return
        end = max(longest, used)
        if end + 1 > board.columns:
            board.columns = max(2 * board.columns, end + FIRST_COLUMNS)
            for layer in self.layers:
                if layer.is_initialized:
                    layer.widen(board.columns)
        elif board.end >= board.columns and used > board.columns // 2:  # moving by little would come again soon
            board.columns *= 2
            for layer in self.layers:
                if layer.is_initialized:
                    layer.widen(board.columns)
            return
        self.shift(left, end - used)

    def shift(self, left: int, new_left: int) -> None:
        """Move all rows so that their leftmost column is `new_left`."""
        board, used = self.board, self.board.end - left
        if left != new_left and used:
            for layer in self.layers:
                if layer.is_initialized:
                    layer.move(slice(left, left + used), slice(new_left, new_left + used))
        board.starts = [start - left + new_left for start in board.starts]
        board.end = new_left + used

    # ---- what a pass needs ----------------------------------------------------------------------
    def positions(self, device) -> Tensor:
        """Position of the token that each row writes next [N, 1]."""
        return torch.tensor([[self.board.end - start] for start in self.board.starts], device=device)

    def attend(self, device) -> Tensor | None:
        """Which columns each row may look at, its next token included [N, columns]; None where all rows may look at all."""
        board = self.board
        if min(board.starts) == max(board.starts):
            return None
        columns = torch.arange(board.left, board.end + 1, device=device)
        return (columns >= torch.tensor(board.starts, device=device)[:, None]).long()

    def advance(self) -> None:
        """One more token stands in every row."""
        self.board.end += 1
