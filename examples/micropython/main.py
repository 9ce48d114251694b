"""A Pico or an ESP32 asks a board with Offramp's firmware what it sees: docs/micropython.md."""

import time

from machine import UART, Pin

import offramp


def main() -> None:
    """Classifies image.bin, the int8 bytes that the model takes, once a second."""
    board = offramp.Board(UART(1, 115_200, tx=Pin(4), rx=Pin(5), rxbuf=512))
    print(board.name, "runs", board.model)
    image = bytearray(board.inputs[0].n_bytes)
    while True:
        with open("image.bin", "rb") as file:
            file.readinto(image)
        try:
            result = board.run(image)
            scores = list(result.outputs[0])
            print("class", scores.index(max(scores)), "by exit", result.exit)
        except offramp.Restarted:
            board.connect()
        except offramp.LinkError as error:
            print(error)
        time.sleep(1)


main()
