import json

import torch

from maskprof.measuring.environment import describe_environment, machine_of


def test_what_is_noted_survives_a_file_and_names_threads_and_processors():
    found = describe_environment(torch.device("cpu"))
    assert json.loads(json.dumps(found)) == found
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"]["logical"] == found["cpu_count"]
    assert found["device"] == found["cpu"] == found["processor"]["name"]
    assert machine_of(found)["cpu"] == found["cpu"]
