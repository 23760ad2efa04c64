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
        self.rows = 1
        """Rows that every layer has."""

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
        rows, columns = self.board.rows, self.board.columns
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

    def resize(self, source: slice, target: slice) -> None:
        """Buffers as large as the board says; the columns of all rows move from `source` to `target`."""
        count, board = len(self.board.starts), self.board
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(board.rows, old.shape[1], board.columns, old.shape[3])
            new[:count, :, target] = old[:count, :, source]
            setattr(self, name, new)


class Slots(Cache):
    """A cache for at most `max_rows` rows at a time."""

    def __init__(self, num_layers: int, max_rows: int):
        self.board = Board(max_rows)
        super().__init__(layers=[SlotLayer(self.board) for _ in range(num_layers)])

    def __len__(self) -> int:
        return len(self.board.starts)

    # ---- coming and going -----------------------------------------------------------------------
    def join(self, first_pass: DynamicCache, lengths: list[int], sources: list[int]) -> None:
        """Take in rows from the cache of their first pass, whose rows are padded on the left to one width.

        `sources` names the row of that cache for each new row, `lengths` their tokens: a prompt that is asked for twice was computed once.
        """
        board, width = self.board, first_pass.layers[0].keys.shape[2]
        longest = max(lengths)
        self.make_room(longest, len(board.starts) + len(sources))
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
            self.empty()
        return last

    def empty(self) -> None:
        """Nobody is there: begin at the first column, and give back what only long texts needed."""
        self.board.end = 0
        if self.board.columns > 4 * FIRST_COLUMNS:
            self.board.columns, self.board.rows = FIRST_COLUMNS, 1
            for layer in self.layers:
                layer.keys = layer.values = None
                layer.is_initialized = False

    def make_room(self, longest: int = 0, rows: int = 0) -> None:
        """Places for so many rows in all, columns for one of so many tokens left of the end, and for one more token behind it.

        Buffers are made twice as large as needed, so that growing is rare, and at most that, so that `tokens_needed` holds.
        """
        board = self.board
        used = board.end - board.left
        end = max(longest, used)
        if board.end >= longest and board.end < board.columns and rows <= board.rows:
            return
        if rows > board.rows or end + 1 > board.columns or (board.end >= board.columns and used > board.columns // 2):
            board.rows, board.columns = min(board.max_rows, 2 * max(rows, len(board.starts))), 2 * end + FIRST_COLUMNS
            self.shift(end - used, SlotLayer.resize)
        else:
            self.shift(end - used, SlotLayer.move)

    def shift(self, new_left: int, how) -> None:
        """Move all rows so that their leftmost column is `new_left`."""
        board, left, used = self.board, self.board.left, self.board.end - self.board.left
        for layer in self.layers:
            if layer.is_initialized:
                how(layer, slice(left, left + used), slice(new_left, new_left + used))
        board.starts = [start - left + new_left for start in board.starts]
        board.end = new_left + used

    @staticmethod
    def tokens_needed(rows: int, longest: int) -> int:
        """Most tokens that the buffers hold for so many rows of at most so many tokens."""
        return 2 * rows * (2 * longest + FIRST_COLUMNS)

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
